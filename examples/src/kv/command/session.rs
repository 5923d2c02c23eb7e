//! Commands on the connection.
#![forbid(unsafe_code)]

use super::{Call, Fault, Flow, Handled, is};
use crate::kv::clients::{Client, NAME_LEN, Name};
use crate::kv::memory::{List, Memory, Scratch};
use crate::kv::numbers::integer;
use crate::kv::reply::Protocol;
use crate::kv::resp::Command;
use std::fmt::{self, Write};

pub(super) fn ping<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    match request.len() {
        1 => Ok(call.reply.simple("PONG")?),
        2 => Ok(call.reply.bulk(request.at(1))?),
        _ => Ok(call.wrong_arity("ping")?),
    }
}

pub(super) fn echo<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    Ok(call.reply.bulk(request.at(1))?)
}

pub(super) fn quit<M: Memory>(call: &mut Call<'_, '_, M>, _: Command<'_>) -> Handled {
    call.flow = Flow::Close;
    Ok(call.reply.ok()?)
}

pub(super) fn reset<M: Memory>(call: &mut Call<'_, '_, M>, _: Command<'_>) -> Handled {
    speak(call, Protocol::Resp2);
    if let Some(client) = me(call) {
        client.name = Name::default();
        client.no_evict = false;
    }
    Ok(call.reply.simple("RESET")?)
}

/// `SELECT`: there is one database.
pub(super) fn select<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    match integer(request.at(1)) {
        Some(0) => Ok(call.reply.ok()?),
        Some(index) if i32::try_from(index).is_ok() => Err(Fault::Database),
        Some(_) => Err(Fault::Between(i32::MIN.into(), i32::MAX.into())),
        None => Err(Fault::NotInteger),
    }
}

/// Checks a user and a password: there is one user, who needs none.
const fn login(user: &[u8]) -> Handled {
    if matches!(user, b"default") { Ok(()) } else { Err(Fault::WrongPassword) }
}

pub(super) fn auth<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    match request.len() {
        2 => Err(Fault::NoPassword),
        3 => {
            login(request.at(1))?;
            Ok(call.reply.ok()?)
        }
        _ => Err(Fault::Syntax),
    }
}

/// `HELLO [version [AUTH user password] [SETNAME name]]`.
pub(super) fn hello<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let asked = match request.get(1).map(integer) {
        None => None,
        Some(None) => return Err(Fault::ProtocolNumber),
        Some(Some(2)) => Some(Protocol::Resp2),
        Some(Some(3)) => Some(Protocol::Resp3),
        Some(Some(_)) => return Err(Fault::NoProtocol),
    };
    let (mut name, mut at) = (None, 2);
    while let Some(option) = request.get(at) {
        let left = request.len() - at - 1;
        if is(option, "auth") && left >= 2 {
            login(request.at(at + 1))?;
            at += 3;
        } else if is(option, "setname") && left >= 1 {
            name = Some(request.at(at + 1));
            at += 2;
        } else {
            return Ok(call.error(&[b"ERR Syntax error in HELLO option '", option, b"'"])?);
        }
    }
    if let Some(name) = name {
        if !rename(call, name)? {
            return Ok(());
        }
    }
    speak(call, asked.unwrap_or(call.reply.protocol));
    introduce(call)
}

/// The reply to `HELLO`.
fn introduce<M: Memory>(call: &mut Call<'_, '_, M>) -> Handled {
    call.reply.map(7)?;
    for (name, value) in [("server", "redis"), ("version", "7.0.0")] {
        call.reply.bulk(name.as_bytes())?;
        call.reply.bulk(value.as_bytes())?;
    }
    call.reply.bulk(b"proto")?;
    let version = if call.reply.protocol == Protocol::Resp3 { 3 } else { 2 };
    call.reply.integer(version)?;
    call.reply.bulk(b"id")?;
    call.reply.integer(call.client as i64)?;
    for (name, value) in [("mode", "standalone"), ("role", "master")] {
        call.reply.bulk(name.as_bytes())?;
        call.reply.bulk(value.as_bytes())?;
    }
    call.reply.bulk(b"modules")?;
    Ok(call.reply.array(0)?)
}

fn speak<M: Memory>(call: &mut Call<'_, '_, M>, protocol: Protocol) {
    call.reply.protocol = protocol;
    if let Some(client) = me(call) {
        client.protocol = if protocol == Protocol::Resp3 { 3 } else { 2 };
    }
}

/// What is known of the connection that asks.
fn me<'c, M: Memory>(call: &'c mut Call<'_, '_, M>) -> Option<&'c mut Client> {
    call.shared.clients.get_mut(call.client)
}

fn is_name(name: &[u8]) -> bool {
    name.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

/// Copies a text that the connection keeps.
fn keep(text: &[u8]) -> Result<Name, Fault> {
    let mut kept = Vec::new();
    kept.try_reserve_exact(text.len()).map_err(|_| Fault::Scratch)?;
    kept.extend_from_slice(text);
    Ok(kept.into_boxed_slice())
}

/// The error for a text that is too long to be kept.
#[cold]
fn too_long<M: Memory>(call: &mut Call<'_, '_, M>, what: &[u8]) -> Handled {
    let mut text = call.text();
    write!(text, " cannot be longer than {NAME_LEN} bytes.")?;
    Ok(call.error(&[b"ERR ", what, text.as_slice()])?)
}

/// Names the client, unless the name is too long; whether it is not.
fn rename<M: Memory>(call: &mut Call<'_, '_, M>, name: &[u8]) -> Result<bool, Fault> {
    if name.len() > NAME_LEN {
        too_long(call, b"Client names")?;
        return Ok(false);
    }
    if !is_name(name) {
        return Err(Fault::ClientName);
    }
    let name = keep(name)?;
    if let Some(client) = me(call) {
        client.name = name;
    }
    Ok(true)
}

/// `CLIENT` and what follows it.
pub(super) fn client<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let len = request.len();
    match request.at(1) {
        sub if is(sub, "id") && len != 2 => Ok(call.wrong_arity("client|id")?),
        sub if is(sub, "id") => Ok(call.reply.integer(call.client as i64)?),
        sub if is(sub, "setname") && len != 3 => Ok(call.wrong_arity("client|setname")?),
        sub if is(sub, "setname") => client_setname(call, request),
        sub if is(sub, "getname") && len != 2 => Ok(call.wrong_arity("client|getname")?),
        sub if is(sub, "getname") => client_getname(call),
        sub if is(sub, "setinfo") && len != 4 => Ok(call.wrong_arity("client|setinfo")?),
        sub if is(sub, "setinfo") => client_setinfo(call, request),
        sub if is(sub, "list") => client_list(call, request),
        sub if is(sub, "info") && len != 2 => Ok(call.wrong_arity("client|info")?),
        sub if is(sub, "info") => client_info(call),
        sub if is(sub, "kill") && len < 3 => Ok(call.wrong_arity("client|kill")?),
        sub if is(sub, "kill") => client_kill(call, request),
        sub if is(sub, "no-evict") && len != 3 => Ok(call.wrong_arity("client|no-evict")?),
        sub if is(sub, "no-evict") => client_no_evict(call, request),
        _ => Ok(call.unknown_subcommand(request, "CLIENT")?),
    }
}

fn client_setname<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    if rename(call, request.at(2))? {
        call.reply.ok()?;
    }
    Ok(())
}

fn client_getname<M: Memory>(call: &mut Call<'_, '_, M>) -> Handled {
    match call.shared.clients.get_mut(call.client) {
        Some(client) if !client.name.is_empty() => Ok(call.reply.bulk(&client.name)?),
        _ => Ok(call.reply.null()?),
    }
}

fn client_setinfo<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let (option, value) = (request.at(2), request.at(3));
    let index = match option {
        option if is(option, "lib-name") => 0,
        option if is(option, "lib-ver") => 1,
        option => return Ok(call.error(&[b"ERR Unrecognized option '", option, b"'"])?),
    };
    if value.len() > NAME_LEN {
        return too_long(call, option);
    }
    if !is_name(value) {
        let text = b" cannot contain spaces, newlines or special characters.";
        return Ok(call.error(&[b"ERR ", option, text])?);
    }
    let value = keep(value)?;
    if let Some(client) = me(call) {
        client.library[index] = value;
    }
    Ok(call.reply.ok()?)
}

fn client_no_evict<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let on = match request.at(2) {
        word if is(word, "on") => true,
        word if is(word, "off") => false,
        _ => return Err(Fault::Syntax),
    };
    if let Some(client) = me(call) {
        client.no_evict = on;
    }
    Ok(call.reply.ok()?)
}

/// One line of `CLIENT LIST`.
fn line(out: &mut impl Write, id: u64, client: &Client) -> fmt::Result {
    let [name, lib_name, lib_ver] =
        [&client.name, &client.library[0], &client.library[1]].map(|text| text.escape_ascii());
    writeln!(
        out,
        "id={id} addr={} name={name} age={} flags={} db=0 resp={} lib-name={lib_name} \
         lib-ver={lib_ver}",
        client.peer,
        client.since.elapsed().as_secs(),
        if client.no_evict { 'e' } else { 'N' },
        client.protocol,
    )
}

/// `CLIENT LIST [TYPE type] [ID id ...]`.
fn client_list<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    let normal = match request.at(2) {
        _ if request.len() == 2 => true,
        word if is(word, "type") && request.len() == 4 => is(request.at(3), "normal"),
        word if is(word, "id") && request.len() > 3 => {
            if request.iter_from(3).any(|id| integer(id).is_none()) {
                return Ok(call.error(&[b"ERR Invalid client ID"])?);
            }
            true
        }
        _ => return Err(Fault::Syntax),
    };
    let by_id = request.len() > 2 && is(request.at(2), "id");
    // In order, so that many clients need not be looked for among many numbers.
    let mut asked = call.scratch.list(0);
    for id in request.iter_from(3).filter_map(integer) {
        asked.push(id)?;
    }
    asked.as_mut_slice().sort_unstable();
    let asked = asked.as_slice();
    let wanted = |id: u64| normal && (!by_id || asked.binary_search(&(id as i64)).is_ok());
    let mut text = call.text();
    for (id, client) in call.shared.clients.iter().filter(|(id, _)| wanted(*id)) {
        line(&mut text, id, client)?;
    }
    Ok(call.reply.verbatim(text.as_slice())?)
}

fn client_info<M: Memory>(call: &mut Call<'_, '_, M>) -> Handled {
    let mut text = call.text();
    let id = call.client;
    if let Some(client) = me(call) {
        line(&mut text, id, client)?;
    }
    Ok(call.reply.verbatim(text.as_slice())?)
}

/// Whom `CLIENT KILL` means.
#[derive(Default)]
struct Victims<'a> {
    id: Option<i64>,
    address: Option<&'a [u8]>,
    others_only: bool,
    nobody: bool,
}

/// `CLIENT KILL address`, or filters: `ID id`, `ADDR address`, `TYPE type`, `USER name`,
/// `SKIPME yes|no`.
fn client_kill<M: Memory>(call: &mut Call<'_, '_, M>, request: Command<'_>) -> Handled {
    if request.len() == 3 {
        let victims = Victims { address: Some(request.at(2)), ..Victims::default() };
        if kill(call, &victims)? == 0 {
            return Err(Fault::NoSuchClient);
        }
        return Ok(call.reply.ok()?);
    }
    let mut victims = Victims { others_only: true, ..Victims::default() };
    let mut at = 2;
    while let Some(filter) = request.get(at) {
        let value = request.get(at + 1).ok_or(Fault::Syntax)?;
        match filter {
            word if is(word, "id") => {
                let id = integer(value).filter(|&id| id > 0).ok_or(Fault::ClientId)?;
                victims.id = Some(id);
            }
            word if is(word, "addr") => victims.address = Some(value),
            word if is(word, "type") => victims.nobody |= !is(value, "normal"),
            word if is(word, "user") => victims.nobody |= value != b"default",
            word if is(word, "skipme") && is(value, "yes") => victims.others_only = true,
            word if is(word, "skipme") && is(value, "no") => victims.others_only = false,
            _ => return Err(Fault::Syntax),
        }
        at += 2;
    }
    let killed = kill(call, &victims)?;
    Ok(call.reply.count(killed)?)
}

/// Ends connections; how many. One's own ends after its reply.
fn kill<M: Memory>(call: &mut Call<'_, '_, M>, victims: &Victims<'_>) -> Result<usize, Fault> {
    let me = call.client;
    let mut doomed = call.scratch.list(0);
    let mut myself = 0;
    let mut address = call.text();
    for (id, client) in call.shared.clients.iter() {
        address.clear();
        write!(address, "{}", client.peer)?;
        let meant = victims.id.is_none_or(|asked| asked == id as i64)
            && victims.address.is_none_or(|asked| asked == address.as_slice())
            && !victims.nobody;
        if meant && id != me {
            doomed.push(id)?;
        } else if meant && !victims.others_only {
            myself = 1;
        }
    }
    if myself == 1 {
        call.flow = Flow::Close;
    }
    let doomed = doomed.as_slice();
    doomed.iter().for_each(|&id| call.shared.clients.doom(id));
    Ok(doomed.len() + myself)
}
