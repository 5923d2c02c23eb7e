use super::*;
use crate::kv::memory::SmallLists;
use proptest::prelude::*;

const MAX_FRAME: usize = 1 << 20;

/// A stream as the parser saw it: whole requests, then how it ended.
type Seen = (Vec<Vec<Vec<u8>>>, Result<usize, ProtocolError>);

/// Feeds `input` in pieces that end at `cuts`; the number is of bytes left over.
fn feed(input: &[u8], cuts: &[usize], max_frame: usize) -> Seen {
    let (mut progress, mut args) = (Progress::default(), Args::new(SmallLists));
    let (mut commands, mut start) = (Vec::new(), 0);
    for &end in cuts.iter().chain([&input.len()]) {
        while start < end {
            match parse(&input[start..end], &mut progress, max_frame, &mut args) {
                Ok(Parsed::Frame(len)) => {
                    let command = args.command(&input[start..end]);
                    commands.push(command.iter_from(0).map(<[u8]>::to_vec).collect());
                    start += len;
                    assert_eq!(progress, Progress::default());
                }
                Ok(Parsed::Partial) => break,
                Err(error) => return (commands, Err(error)),
            }
        }
    }
    (commands, Ok(input.len() - start))
}

fn whole(input: &[u8]) -> Seen {
    feed(input, &[], MAX_FRAME)
}

/// Each byte by itself.
fn dribble(input: &[u8]) -> Seen {
    feed(input, &(1..input.len()).collect::<Vec<_>>(), MAX_FRAME)
}

fn words(words: &[&[u8]]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.to_vec()).collect()
}

/// The encoding of a request, written down naively.
fn encode(command: &[Vec<u8>]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", command.len()).into_bytes();
    for word in command {
        out.extend(format!("${}\r\n", word.len()).into_bytes());
        out.extend(word);
        out.extend(b"\r\n");
    }
    out
}

#[test]
fn arrays_and_inline_requests() {
    let input = b"*2\r\n$3\r\nGET\r\n$0\r\n\r\nset  k v\r\nPING\n\r\n*0\r\n*-1\r\n";
    let expected = vec![
        words(&[b"GET", b""]),
        words(&[b"set", b"k", b"v"]),
        words(&[b"PING"]),
        vec![],
        vec![],
        vec![],
    ];
    assert_eq!(whole(input), (expected.clone(), Ok(0)));
    assert_eq!(dribble(input), (expected, Ok(0)));
}

#[test]
fn short_headers_are_read_at_once() {
    let bytes = b"$019:/\r\n*\x00\x10 \xff";
    let mut found = 0;
    for at in 0..bytes.len().pow(5) {
        let mut rest = at;
        let mut header = [b'$', 0, 0, 0, 0, b'\n'];
        for byte in &mut header[1..5] {
            *byte = bytes[rest % bytes.len()];
            rest /= bytes.len();
        }
        if rest % bytes.len() > 0 {
            header[0] = bytes[rest % bytes.len()];
        }
        let end = header[1..5].iter().position(|byte| *byte == b'\r').unwrap_or(0);
        let digits = std::str::from_utf8(&header[1..=end]).ok();
        let len = digits.and_then(|digits| digits.parse::<usize>().ok());
        let plain = header[0] == b'$' && (end == 1 || header[1] != b'0');
        // A line end that is incomplete is for the long way, if it is looked at here.
        let whole = end > 1 || header[2..].starts_with(b"\r\n");
        let expected = len.filter(|_| plain && whole).map(|len| (len, end + 3));
        assert_eq!(short_header(&header), expected, "{header:?}");
        found += usize::from(expected.is_some());
    }
    // With one digit, two (not 0 first) and three, and any last byte behind the first two.
    assert_eq!(found, 3 * 13 + 2 * 3 * 13 + 2 * 3 * 3);
}

#[test]
fn errors_are_those_of_redis() {
    for (input, text) in [
        (&b"*x\r\n"[..], "invalid multibulk length"),
        (b"*\r\n", "invalid multibulk length"),
        (b"*01\r\n", "invalid multibulk length"),
        (b"*+1\r\n", "invalid multibulk length"),
        (b"*1 \r\n", "invalid multibulk length"),
        (b"*-0\r\n", "invalid multibulk length"),
        (b"*2147483648\r\n", "invalid multibulk length"),
        (b"*99999999999999999999\r\n", "invalid multibulk length"),
        (b"*1\r\n$x\r\n", "invalid bulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$4294967296\r\n", "invalid bulk length"),
        (b"*1\r\n$9223372036854775807\r\n", "invalid bulk length"),
        (b"*1\r\nx\r\n", "expected '$', got 'x'"),
        (b"*1\r\n:1\r\n", "expected '$', got ':'"),
        (b"get \"a\r\n", "unbalanced quotes in request"),
        (b"get 'a'b\r\n", "unbalanced quotes in request"),
    ] {
        for (commands, end) in [whole(input), dribble(input)] {
            assert!(commands.is_empty());
            assert_eq!(end.unwrap_err().to_string(), format!("ERR Protocol error: {text}"));
        }
    }
    assert_eq!(ProtocolError::ExpectedBulk(0xff).text().iter().filter(|b| **b == 0xff).count(), 1);
}

#[test]
fn endless_lines_are_refused_at_the_limit() {
    for (begin, error) in [
        (&b"*"[..], ProtocolError::ArrayLine),
        (b"*1\r\n$", ProtocolError::BulkLine),
        (b"", ProtocolError::InlineLine),
    ] {
        let skipped = begin.len().saturating_sub(1);
        let mut input = begin.to_vec();
        input.resize(skipped + MAX_LINE, b'1');
        assert_eq!(whole(&input), (vec![], Ok(input.len())));
        input.push(b'1');
        assert_eq!(whole(&input), (vec![], Err(error)));
        input.extend(b"\r\n");
        assert_eq!(whole(&input), (vec![], Err(error)));
    }
}

#[test]
fn a_frame_is_refused_when_it_would_exceed_the_limit() {
    let max = 1000;
    let head = b"*1\r\n$983\r\n";
    let mut fits = head.to_vec();
    fits.resize(max - 5, b'x');
    assert_eq!(feed(b"*1\r\n$988\r\n", &[], max).1, Ok(10));
    assert_eq!(feed(b"*1\r\n$989\r\n", &[], max).1, Err(ProtocolError::BulkLength));
    // However long a frame may be: 512 MiB, of Redis.
    assert_eq!(feed(b"*1\r\n$536870912\r\n", &[], 1 << 30).1, Ok(16));
    assert_eq!(feed(b"*1\r\n$536870913\r\n", &[], 1 << 30).1, Err(ProtocolError::BulkLength));
    let many = b"*1000\r\n".iter().copied().chain(b"$0\r\n\r\n".repeat(200)).collect::<Vec<_>>();
    assert_eq!(feed(&many, &[], max).1, Err(ProtocolError::BulkLength));
    assert_eq!(feed(&many[..max - 1], &[], max).1, Ok(max - 1));
}

#[test]
fn an_announcement_reserves_nothing() {
    let (mut progress, mut args) = (Progress::default(), Args::new(SmallLists));
    let input = format!("*{MAX_ARGS}\r\n$1\r\nx\r\n");
    assert_eq!(parse(input.as_bytes(), &mut progress, 1 << 30, &mut args), Ok(Parsed::Partial));
    assert!(!args.many.spilled());
}

#[test]
fn quotes_of_inline_requests() {
    for (line, expected) in [
        (&b"set \"a b\" \"x\\x00\\ny\""[..], words(&[b"set", b"a b", b"x\0\ny"])),
        (b"ping 'a\\'b' \"\\t\\x41\\q\\xg\"", words(&[b"ping", b"a'b", b"\tAqxg"])),
        (b" \t a\x0bb ''", words(&[b"a\x0bb", b""])),
        (b"ZORK\"x\" b", words(&[b"ZORKx", b"b"])),
    ] {
        let input = [line, b"\r\n"].concat();
        assert_eq!(whole(&input), (vec![expected], Ok(0)));
    }
}

#[test]
fn integers_are_read_strictly() {
    for (text, value) in [("0", Some(0)), ("-7", Some(-7)), ("120", Some(120)), ("1a", None)] {
        assert_eq!(integer(text.as_bytes()), value, "{text}");
    }
    for wrong in ["", "-", "--1", "1-", "00", "-0", " 1", "9999999999999999999999"] {
        assert_eq!(integer(wrong.as_bytes()), None, "{wrong}");
    }
}

/// Requests of a few words that may hold anything.
fn commands() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
    let word = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..12),
        proptest::collection::vec(proptest::sample::select(b"\r\n$*0123 '\"".to_vec()), 0..8),
        proptest::collection::vec(any::<u8>(), 0..300),
    ];
    proptest::collection::vec(proptest::collection::vec(word, 0..12), 0..8)
}

/// Streams that are nearly the protocol.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let piece = proptest::sample::select(vec![
        &b"*1\r\n"[..],
        b"*2\r\n",
        b"$1\r\n",
        b"$3\r\n",
        b"x",
        b"\r\n",
        b"\n",
        b"\r",
        b"GET k",
        b"\"a",
        b"'",
        b"*",
        b"$-1\r\n",
        b"-",
        b" ",
        b"\0",
        b"9",
    ]);
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Cuts of a stream, in order.
fn cuts(seeds: &[prop::sample::Index], len: usize) -> Vec<usize> {
    let mut cuts: Vec<_> = seeds.iter().map(|seed| seed.index(len + 1)).collect();
    cuts.sort_unstable();
    cuts
}

proptest! {
    #![proptest_config(crate::kv::same_each_time(256))]
    #[test]
    fn what_was_encoded_is_found_whatever_the_split(
        commands in commands(),
        seeds in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let input = commands.iter().flat_map(|command| encode(command)).collect::<Vec<_>>();
        let expected = (commands, Ok(0));
        prop_assert_eq!(&feed(&input, &cuts(&seeds, input.len()), MAX_FRAME), &expected);
        prop_assert_eq!(&dribble(&input), &expected);
    }

    #[test]
    fn any_split_of_anything_is_seen_alike(
        input in noise(),
        seeds in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let expected = whole(&input);
        prop_assert_eq!(&feed(&input, &cuts(&seeds, input.len()), MAX_FRAME), &expected);
        prop_assert_eq!(&dribble(&input), &expected);
    }

    #[test]
    fn no_bytes_make_it_panic(input in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = (whole(&input), dribble(&input), feed(&input, &[], 100));
    }
}
