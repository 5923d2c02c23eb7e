//! Times of all of pool-ring's cases by criterion.

mod by_criterion;

fn main() {
    by_criterion::main(benches::workloads::POOL_RING);
}
