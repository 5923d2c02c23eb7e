//! Times of a crate's cases by criterion: one group a workload, so that a chart compares its
//! engines. `table` is what to believe in: there the engines take turns.

use criterion::{BenchmarkId, Criterion};
use std::time::Duration;

/// Measures all cases of `family`.
pub fn main(family: &str) {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .sample_size(30)
        .configure_from_args();
    let cases: Vec<_> = benches::cases().into_iter().filter(|c| c.family == family).collect();
    for cases in cases.chunk_by(|a, b| a.workload == b.workload) {
        let mut group = criterion.benchmark_group(cases[0].workload);
        for case in cases {
            group.bench_function(BenchmarkId::from_parameter(case.engine), |bencher| {
                let mut run = case.prepare();
                bencher.iter_custom(&mut run);
            });
        }
        group.finish();
    }
    criterion.final_summary();
}
