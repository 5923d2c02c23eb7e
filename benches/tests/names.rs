//! Names mean what they say: no two cases share one, and gates are about cases that there are.

use benches::engines::heaps::{OPTIONAL, absent};
use benches::gates::{Gate, Measure, gates};
use benches::misses::WHY;
use benches::record::Record;
use std::collections::HashSet;
use std::path::Path;

fn names() -> Vec<(&'static str, &'static str)> {
    benches::cases().iter().map(|case| (case.workload, case.engine)).collect()
}

#[test]
fn no_two_cases_have_the_same_names() {
    let names = names();
    let mut seen = HashSet::new();
    let twice: Vec<_> = names.iter().filter(|name| !seen.insert(**name)).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

#[test]
fn cases_of_a_workload_stand_together() {
    let mut seen = HashSet::new();
    for cases in benches::cases().chunk_by(|a, b| a.workload == b.workload) {
        assert!(seen.insert(cases[0].workload), "{} is there twice", cases[0].workload);
    }
}

#[test]
fn each_gate_is_about_cases_that_there_are() {
    let names: HashSet<_> = names().into_iter().collect();
    for gate in gates() {
        let (workload, engine) = (gate.workload, gate.engine);
        assert!(names.contains(&(workload, engine)), "there is no {workload} on {engine}");
        let peers = match gate.measure {
            Measure::InstructionRatio(peers)
            | Measure::TimeRatio(peers)
            | Measure::TimeOverFastest(peers) => peers,
            Measure::Growth(from) => {
                assert!(names.contains(&(from, engine)), "there is no {from} on {engine}");
                continue;
            }
            Measure::Instructions
            | Measure::Bytes
            | Measure::BytesEach
            | Measure::Median
            | Measure::Tail => continue,
        };
        let there = peers.iter().any(|peer| names.contains(&(workload, *peer)));
        assert!(there, "{workload} has none of {peers:?}");
    }
}

#[test]
fn each_reason_is_of_a_gate_that_there_is() {
    for (workload, engine, ..) in WHY {
        let of = |gate: &Gate| gate.workload == workload && [gate.engine, ""].contains(&engine);
        assert!(gates().iter().any(of), "there is no gate of {workload} on {engine}");
    }
}

#[test]
fn an_engine_that_is_not_built_in_says_how_it_would_be() {
    for (engine, feature, built) in OPTIONAL {
        let there = names().iter().any(|name| name.1 == engine);
        assert_eq!(there, built, "{engine}");
        let message = absent(engine).concat();
        assert_eq!(message.contains(&format!("--features {feature}")), !built, "{message}");
    }
    let missing = OPTIONAL.iter().filter(|(_, _, built)| !built).count();
    assert_eq!(absent("").len(), missing);
    assert!(absent("no such engine").is_empty());
}

/// What CI compares would be passed over without a word otherwise: who renames a case makes a record.
#[test]
fn each_case_of_ours_in_the_last_record_is_still_there() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::env::set_current_dir(top).unwrap();
    let record = Record::read(&Record::latest().unwrap()).unwrap();
    assert_eq!(record.vanished(&benches::cases()), [""; 0]);
}
