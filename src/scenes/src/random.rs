//! Random numbers that a seed alone decides.

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_pcg::Pcg64;

/// A portable random number generator for the `stream`-th thing drawn from `seed`.
///
/// The same pair gives the same numbers on every platform and in every thread.
pub fn rng(seed: u64, stream: u64) -> Pcg64 {
    Pcg64::new(
        (u128::from(mix(seed)) << 64) | u128::from(mix(stream)),
        u128::from(mix(seed ^ stream.rotate_left(32))),
    )
}

/// SplitMix64's finalizer: neighbouring seeds become unrelated ones.
pub(crate) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One of a list that is not empty.
pub(crate) fn pick<T: Copy>(rng: &mut impl Rng, from: &[T]) -> T {
    *from.choose(rng).expect("the list is not empty")
}
