//! Pseudo-random numbers for fault injection and tests.
#![forbid(unsafe_code)]

/// The `index`-th number of the SplitMix64 sequence that begins at `seed` (Steele, Lea, Flood:
/// "Fast splittable pseudorandom number generators", 2014).
pub(crate) const fn splitmix64(seed: u64, index: u64) -> u64 {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN));
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::splitmix64;

    #[test]
    fn the_published_sequence() {
        let first =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        for (index, expected) in (0..).zip(first) {
            assert_eq!(splitmix64(1_234_567, index), expected);
        }
    }
}
