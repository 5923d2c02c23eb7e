//! hashbrown's map in an arena: `cargo run -p examples --example hashbrown_arena`.
//!
//! A map that lives as long as a request: its table and its keys are in the request's arena, so nothing of
//! it is freed one by one. `&Arena` is an allocator of `allocator-api2` 0.2, the one hashbrown speaks
//! (feature `allocator-api2` of pool-arena).
#![forbid(unsafe_code)]

use hashbrown::{DefaultHashBuilder, HashMap};
use pool_arena::Arena;
use std::error::Error;

/// Parameters of a query string by name, the last of each.
type Parameters<'a> = HashMap<&'a str, &'a str, DefaultHashBuilder, &'a Arena>;

/// Copies, because the buffer of the connection goes on to the next request.
fn parse<'a>(arena: &'a Arena, query: &str) -> Parameters<'a> {
    let mut parameters = HashMap::new_in(arena);
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (&*arena.alloc_str(name), &*arena.alloc_str(value));
        parameters.insert(name, value);
    }
    parameters
}

/// Some thousand requests, one arena.
pub fn main() -> Result<(), Box<dyn Error>> {
    let mut arena = Arena::new();
    let mut held = 0;
    for request in 0..5000 {
        let query = format!("user={request}&page=3&sort=name&page={}", request % 7);
        let parameters = parse(&arena, &query);
        assert_eq!(parameters["user"], request.to_string());
        assert_eq!(parameters["page"], (request % 7).to_string());
        // Not even the destructor of the map is needed: the arena takes all of it back.
        std::mem::forget(parameters);
        arena.reset();
        if request == 0 {
            held = arena.allocated_bytes();
        }
        assert_eq!(arena.allocated_bytes(), held, "no request needs more than the first");
    }
    println!("5000 maps in the same {held} bytes");
    Ok(())
}
