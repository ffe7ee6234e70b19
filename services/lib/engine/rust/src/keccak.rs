//! Keccak-256 of many messages side by side, one in each lane of a vector.
//!
//! A block has thousands of leaves to hash and a decode two hashes for each signed batch: a vector of eight lanes hashes them about
//! five times as fast as one after the other. The permutation is that of FIPS 202, section 3, with Ethereum's padding; a test
//! compares it with the crate's.

use alloy_primitives::{B256, keccak256};

/// Bytes that a block of the sponge takes.
const RATE: usize = 136;
const WORDS: usize = 25;
/// Lanes of the widest vector.
const LANES_MAX: usize = 8;

/// Words of the sponge, for each of them the lanes.
type State = [[u64; LANES_MAX]; WORDS];

const ROUND_CONSTANTS: [u64; 24] = [
    0x0000000000000001,
    0x0000000000008082,
    0x800000000000808a,
    0x8000000080008000,
    0x000000000000808b,
    0x0000000080000001,
    0x8000000080008081,
    0x8000000000008009,
    0x000000000000008a,
    0x0000000000000088,
    0x0000000080008009,
    0x000000008000000a,
    0x000000008000808b,
    0x800000000000008b,
    0x8000000000008089,
    0x8000000000008003,
    0x8000000000008002,
    0x8000000000000080,
    0x000000000000800a,
    0x800000008000000a,
    0x8000000080008081,
    0x8000000000008080,
    0x0000000080000001,
    0x8000000080008008,
];

/// Messages that stand behind each other in one buffer.
#[derive(Default)]
pub struct Messages {
    pub bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Messages {
    /// What was appended to `bytes` since the last message is one.
    pub fn end(&mut self) {
        self.ends.push(self.bytes.len());
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    pub fn all(&self) -> Vec<&[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end]).collect()
    }
}

/// Hashes of all messages, in their order.
pub fn hash_all(messages: &[&[u8]]) -> Vec<B256> {
    let mut hashes = vec![B256::ZERO; messages.len()];
    if messages.len() > 1 && hash_side_by_side(messages, &mut hashes) {
        return hashes;
    }
    messages.iter().zip(&mut hashes).for_each(|(message, hash)| *hash = keccak256(message));
    hashes
}

/// False if the processor has no vectors for it.
#[cfg(target_arch = "x86_64")]
fn hash_side_by_side(messages: &[&[u8]], hashes: &mut [B256]) -> bool {
    if std::arch::is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has AVX-512.
        unsafe { hash_avx512(messages, hashes) };
        true
    } else if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        unsafe { hash_avx2(messages, hashes) };
        true
    } else {
        false
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn hash_avx512(messages: &[&[u8]], hashes: &mut [B256]) {
    hash_lanes::<vector::Avx512>(messages, hashes);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn hash_avx2(messages: &[&[u8]], hashes: &mut [B256]) {
    hash_lanes::<vector::Avx2>(messages, hashes);
}

#[cfg(target_arch = "wasm32")]
fn hash_side_by_side(messages: &[&[u8]], hashes: &mut [B256]) -> bool {
    hash_lanes::<vector::Simd128>(messages, hashes);
    true
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "wasm32")))]
fn hash_side_by_side(_: &[&[u8]], _: &mut [B256]) -> bool {
    false
}

/// As many 64-bit words as fit a register.
trait Vector: Copy {
    const LANES: usize;
    fn load(words: &[u64; LANES_MAX]) -> Self;
    fn store(self, words: &mut [u64; LANES_MAX]);
    fn splat(value: u64) -> Self;
    fn xor(self, other: Self) -> Self;
    fn rotate_left<const BITS: i32, const REST: i32>(self) -> Self;
    /// self ^ (!b & c)
    fn chi(self, b: Self, c: Self) -> Self;
}

/// What a lane works at.
#[derive(Clone, Copy)]
struct Lane {
    message: usize,
    /// Bytes of it that the sponge has taken.
    taken: usize,
}

#[inline(always)]
fn hash_lanes<V: Vector>(messages: &[&[u8]], hashes: &mut [B256]) {
    let mut state: State = [[0; LANES_MAX]; WORDS];
    let mut lanes: [Option<Lane>; LANES_MAX] = [None; LANES_MAX];
    let mut waiting = 0..messages.len();
    loop {
        let mut is_idle = true;
        for (number, lane) in lanes[..V::LANES].iter_mut().enumerate() {
            if lane.is_none() {
                *lane = waiting.next().map(|message| Lane { message, taken: 0 });
                state.iter_mut().for_each(|word| word[number] = 0);
            }
            if let Some(Lane { message, taken }) = lane {
                absorb(&mut state, number, &messages[*message][*taken..]);
                *taken += RATE;
                is_idle = false;
            }
        }
        if is_idle {
            return;
        }
        permute::<V>(&mut state);
        for (number, lane) in lanes[..V::LANES].iter_mut().enumerate() {
            if let Some(Lane { message, taken }) = *lane
                && taken > messages[message].len()
            {
                for (word, bytes) in hashes[message].chunks_exact_mut(8).enumerate() {
                    bytes.copy_from_slice(&state[word][number].to_le_bytes());
                }
                *lane = None;
            }
        }
    }
}

/// The next block of a message, padded if it is its last.
#[inline(always)]
fn absorb(state: &mut State, lane: usize, rest: &[u8]) {
    let mut padded = [0; RATE];
    let block = match rest.first_chunk::<RATE>() {
        Some(block) => block,
        None => {
            padded[..rest.len()].copy_from_slice(rest);
            padded[rest.len()] = 1;
            padded[RATE - 1] |= 0x80;
            &padded
        }
    };
    for (word, bytes) in state.iter_mut().zip(block.chunks_exact(8)) {
        word[lane] ^= u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    }
}

/// One step of rho and pi: the word in hand, rotated, goes to `place`, whose word is in hand then.
macro_rules! steps {
    ($a:ident, $hand:ident; $($place:literal $bits:literal),*) => {
        $(
            let moved = $hand.rotate_left::<$bits, { 64 - $bits }>();
            $hand = std::mem::replace(&mut $a[$place], moved);
        )*
    };
}

#[inline(always)]
fn permute<V: Vector>(state: &mut State) {
    let mut a: [V; WORDS] = std::array::from_fn(|word| V::load(&state[word]));
    for constant in ROUND_CONSTANTS {
        let columns: [V; 5] = std::array::from_fn(|x| a[x].xor(a[x + 5]).xor(a[x + 10]).xor(a[x + 15].xor(a[x + 20])));
        for x in 0..5 {
            let parity = columns[(x + 4) % 5].xor(columns[(x + 1) % 5].rotate_left::<1, 63>());
            for y in 0..5 {
                a[x + 5 * y] = a[x + 5 * y].xor(parity);
            }
        }
        let mut hand = a[1];
        steps!(a, hand; 10 1, 7 3, 11 6, 17 10, 18 15, 3 21, 5 28, 16 36, 8 45, 21 55, 24 2, 4 14, 15 27, 23 41, 19 56, 13 8,
            12 25, 2 43, 20 62, 14 18, 22 39, 9 61, 6 20, 1 44);
        let _ = hand;
        for y in 0..5 {
            let row: [V; 5] = std::array::from_fn(|x| a[5 * y + x]);
            for x in 0..5 {
                a[5 * y + x] = row[x].chi(row[(x + 1) % 5], row[(x + 2) % 5]);
            }
        }
        a[0] = a[0].xor(V::splat(constant));
    }
    for (word, vector) in state.iter_mut().zip(a) {
        vector.store(word);
    }
}

#[cfg(target_arch = "x86_64")]
mod vector {
    use super::{LANES_MAX, Vector};
    use std::arch::x86_64::*;

    /// Eight words. Only for code that was entered through a function with AVX-512 enabled.
    #[derive(Clone, Copy)]
    pub struct Avx512(__m512i);

    // SAFETY of all methods: they are inlined into `hash_avx512`, which is called only if the processor has AVX-512.
    impl Vector for Avx512 {
        const LANES: usize = 8;

        #[inline(always)]
        fn load(words: &[u64; LANES_MAX]) -> Self {
            Self(unsafe { _mm512_loadu_si512(words.as_ptr().cast()) })
        }

        #[inline(always)]
        fn store(self, words: &mut [u64; LANES_MAX]) {
            unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), self.0) }
        }

        #[inline(always)]
        fn splat(value: u64) -> Self {
            Self(unsafe { _mm512_set1_epi64(value as i64) })
        }

        #[inline(always)]
        fn xor(self, other: Self) -> Self {
            Self(unsafe { _mm512_xor_si512(self.0, other.0) })
        }

        #[inline(always)]
        fn rotate_left<const BITS: i32, const REST: i32>(self) -> Self {
            Self(unsafe { _mm512_rol_epi64::<BITS>(self.0) })
        }

        #[inline(always)]
        fn chi(self, b: Self, c: Self) -> Self {
            Self(unsafe { _mm512_ternarylogic_epi64::<0xd2>(self.0, b.0, c.0) })
        }
    }

    /// Four words. Only for code that was entered through a function with AVX2 enabled.
    #[derive(Clone, Copy)]
    pub struct Avx2(__m256i);

    // SAFETY of all methods: they are inlined into `hash_avx2`, which is called only if the processor has AVX2.
    impl Vector for Avx2 {
        const LANES: usize = 4;

        #[inline(always)]
        fn load(words: &[u64; LANES_MAX]) -> Self {
            Self(unsafe { _mm256_loadu_si256(words.as_ptr().cast()) })
        }

        #[inline(always)]
        fn store(self, words: &mut [u64; LANES_MAX]) {
            unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), self.0) }
        }

        #[inline(always)]
        fn splat(value: u64) -> Self {
            Self(unsafe { _mm256_set1_epi64x(value as i64) })
        }

        #[inline(always)]
        fn xor(self, other: Self) -> Self {
            Self(unsafe { _mm256_xor_si256(self.0, other.0) })
        }

        #[inline(always)]
        fn rotate_left<const BITS: i32, const REST: i32>(self) -> Self {
            Self(unsafe { _mm256_or_si256(_mm256_slli_epi64::<BITS>(self.0), _mm256_srli_epi64::<REST>(self.0)) })
        }

        #[inline(always)]
        fn chi(self, b: Self, c: Self) -> Self {
            Self(unsafe { _mm256_xor_si256(self.0, _mm256_andnot_si256(b.0, c.0)) })
        }
    }
}

#[cfg(target_arch = "wasm32")]
mod vector {
    use super::{LANES_MAX, Vector};
    use std::arch::wasm32::*;

    /// Two words.
    #[derive(Clone, Copy)]
    pub struct Simd128(v128);

    impl Vector for Simd128 {
        const LANES: usize = 2;

        #[inline(always)]
        fn load(words: &[u64; LANES_MAX]) -> Self {
            Self(u64x2(words[0], words[1]))
        }

        #[inline(always)]
        fn store(self, words: &mut [u64; LANES_MAX]) {
            words[0] = u64x2_extract_lane::<0>(self.0);
            words[1] = u64x2_extract_lane::<1>(self.0);
        }

        #[inline(always)]
        fn splat(value: u64) -> Self {
            Self(u64x2_splat(value))
        }

        #[inline(always)]
        fn xor(self, other: Self) -> Self {
            Self(v128_xor(self.0, other.0))
        }

        #[inline(always)]
        fn rotate_left<const BITS: i32, const REST: i32>(self) -> Self {
            Self(v128_or(u64x2_shl(self.0, BITS as u32), u64x2_shr(self.0, REST as u32)))
        }

        #[inline(always)]
        fn chi(self, b: Self, c: Self) -> Self {
            Self(v128_xor(self.0, v128_andnot(c.0, b.0)))
        }
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn gives_what_the_crate_gives() {
        let mut messages = Messages::default();
        for length in (0..300).chain([407, 408, 409, 5_000]).rev() {
            messages.bytes.extend((0..length).map(|byte| (byte * 7 + length) as u8));
            messages.end();
        }
        for count in [1, 2, 7, 9, 304] {
            let messages = &messages.all()[304 - count..];
            let expected: Vec<B256> = messages.iter().map(keccak256).collect();
            let (mut wide, mut narrow) = (vec![B256::ZERO; count], vec![B256::ZERO; count]);
            assert!(std::arch::is_x86_feature_detected!("avx2"), "the test needs a processor with AVX2");
            // SAFETY: the processor has AVX2.
            unsafe { hash_avx2(messages, &mut narrow) };
            assert!(hash_side_by_side(messages, &mut wide));
            assert_eq!(hash_all(messages), expected);
            assert_eq!(narrow, expected);
            assert_eq!(wide, expected);
        }
    }
}
