//! Random cases that are the same each time, so that a change is judged by itself.

use proptest::test_runner::{Config, RngSeed};

/// So many cases from this seed; PROPTEST_RNG_SEED tries others.
pub fn seeded(cases: u32, seed: u64) -> Config {
    let given = Config::default();
    let rng_seed = if given.rng_seed == RngSeed::Random { RngSeed::Fixed(seed) } else { given.rng_seed };
    Config { cases, failure_persistence: None, rng_seed, ..given }
}

/// So many cases as RTMANAGER_FUZZ_CASES says, or else the usual number.
pub fn fuzz_cases(usual: u32) -> u32 {
    #[allow(clippy::disallowed_methods, reason = "how long a test may take is its caller's to say")]
    let told = std::env::var("RTMANAGER_FUZZ_CASES").ok().and_then(|text| text.parse().ok());
    told.unwrap_or(usual)
}
