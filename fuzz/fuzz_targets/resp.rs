//! Any bytes as what a client sends, cut anywhere, through `kv`'s parser: the requests that come out piece by
//! piece are those of the whole, and those of a parser that was written down naively.
#![no_main]

use examples::kv::memory::SmallLists;
use examples::kv::resp::{Args, MAX_LINE, Parsed, Progress, ProtocolError, parse};
use libfuzzer_sys::fuzz_target;

/// Small, so that inputs reach it; two lines must fit.
const MAX_FRAME: usize = 2 * MAX_LINE;

type Request = Vec<Vec<u8>>;

/// Requests, and how it ended: bytes that are left over, or an error.
type Seen = (Vec<Request>, Result<usize, ProtocolError>);

/// As a connection does it: what has come is parsed again when more comes.
fn feed(input: &[u8], ends: impl Iterator<Item = usize>) -> Seen {
    let (mut progress, mut args) = (Progress::default(), Args::new(SmallLists));
    let (mut requests, mut start) = (Vec::new(), 0);
    for end in ends {
        while start < end {
            let pending = &input[start..end];
            // Until so many have come another look finds nothing new.
            let needed = progress.needed();
            match parse(pending, &mut progress, MAX_FRAME, &mut args) {
                Ok(Parsed::Frame(len)) => {
                    assert!(0 < len && len <= pending.len() && needed <= pending.len());
                    assert_eq!(progress, Progress::default());
                    let request = args.command(pending);
                    requests.push(request.iter_from(0).map(<[u8]>::to_vec).collect());
                    start += len;
                }
                Ok(Parsed::Partial) => break,
                Err(error) => return (requests, Err(error)),
            }
        }
    }
    (requests, Ok(input.len() - start))
}

/// One array of bulk strings, in the plainest way; `None`: it is not whole, or something is wrong.
fn naive(input: &[u8]) -> Option<(Request, usize)> {
    let mut at = 0;
    let number = |mark: u8, at: &mut usize| {
        let rest = input.get(*at..)?;
        let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        let text = std::str::from_utf8(rest[..end].strip_prefix(&[mark])?).ok()?;
        // Rust's numbers may begin with a plus and with zeros, Redis' may not.
        let number: usize =
            text.parse().ok().filter(|number: &usize| number.to_string() == text)?;
        *at += end + 2;
        Some(number)
    };
    let count = number(b'*', &mut at).filter(|count| *count < 1 << 20)?;
    let mut words = Vec::new();
    for _ in 0..count {
        let len = number(b'$', &mut at)?;
        let end = at.checked_add(len).filter(|end| *end < MAX_FRAME - 2)?;
        words.push(input.get(at..end)?.to_vec());
        input.get(end..end + 2)?;
        at = end + 2;
    }
    Some((words, at))
}

fuzz_target!(|input: (u8, &[u8])| {
    let (cut, bytes) = input;
    let whole = feed(bytes, std::iter::once(bytes.len()));
    let cut = usize::from(cut).max(1);
    let ends = (1..=bytes.len()).filter(|end| end % cut == 0 || *end == bytes.len());
    assert_eq!(feed(bytes, ends), whole);

    if let Some((words, _)) = naive(bytes) {
        assert_eq!(whole.0.first(), Some(&words));
    }
    // And what is found is a request again, by itself.
    for request in whole.0 {
        let mut encoded = format!("*{}\r\n", request.len()).into_bytes();
        for word in &request {
            encoded.extend(format!("${}\r\n", word.len()).bytes());
            encoded.extend(word);
            encoded.extend(b"\r\n");
        }
        let len = encoded.len();
        assert_eq!(feed(&encoded, std::iter::once(len)), (vec![request], Ok(0)));
    }
});
