//! BLAKE3's extendable output, several output blocks at once.
//!
//! The blake3 crate computes output blocks side by side only with AVX-512; elsewhere one after the other. The 32 blocks of a
//! lattice element differ only in their counter, so they suit vectors of any width. Hashing stays the crate's: this repeats
//! the compression function (BLAKE3 specification, 2.2) for the output of one root block, and a test compares the two.

const OUTPUT_BLOCK: usize = 64;
const CHUNK_START: u32 = 1;
const CHUNK_END: u32 = 2;
const ROOT: u32 = 8;
/// Lanes of the widest vector.
const LANES_MAX: usize = 8;

const IV: [u32; 8] = [0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19];

/// Message words of each round: the permutation of the specification, applied 0 to 6 times.
const SCHEDULE: [[usize; 16]; 7] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8],
    [3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1],
    [10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6],
    [12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4],
    [9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7],
    [11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13],
];

/// Fills `out` (a multiple of 512 bytes) with the output for an input of at most 128 bytes.
pub fn fill(input: &[u8], out: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if !std::arch::is_x86_feature_detected!("avx512vl") && std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { fill_avx2(input, out) };
    }
    #[cfg(target_arch = "wasm32")]
    return fill_vectors::<vector::Simd128>(input, out);
    #[cfg(not(target_arch = "wasm32"))]
    blake3::Hasher::new().update(input).finalize_xof().fill(out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn fill_avx2(input: &[u8], out: &mut [u8]) {
    fill_vectors::<vector::Avx2>(input, out);
}

/// As many 32-bit numbers as fit a register.
trait Vector: Copy {
    const LANES: usize;
    fn splat(value: u32) -> Self;
    /// `first`, `first` + 1 and so on.
    fn counting(first: u32) -> Self;
    fn add(self, other: Self) -> Self;
    fn xor(self, other: Self) -> Self;
    fn rotate_right<const BITS: i32, const REST: i32>(self) -> Self;
    fn put(self, out: &mut [u32]);
}

#[inline(always)]
fn fill_vectors<V: Vector>(input: &[u8], out: &mut [u8]) {
    assert!(input.len() <= 2 * OUTPUT_BLOCK, "an input is one or two blocks");
    let (cv, block, flags) = if input.len() > OUTPUT_BLOCK {
        let (first, second) = input.split_at(OUTPUT_BLOCK);
        (first_lane(compress::<V>(&IV, &words(first), 0, OUTPUT_BLOCK as u32, CHUNK_START)), second, CHUNK_END | ROOT)
    } else {
        (IV, input, CHUNK_START | CHUNK_END | ROOT)
    };
    let message = words(block);
    for (group, out) in out.chunks_exact_mut(V::LANES * OUTPUT_BLOCK).enumerate() {
        let state = compress::<V>(&cv, &message, (group * V::LANES) as u32, block.len() as u32, flags);
        for (word, vector) in state.into_iter().enumerate() {
            let mut lanes = [0; LANES_MAX];
            vector.put(&mut lanes);
            for (lane, value) in lanes[..V::LANES].iter().enumerate() {
                let at = lane * OUTPUT_BLOCK + word * 4;
                out[at..at + 4].copy_from_slice(&value.to_le_bytes());
            }
        }
    }
}

/// The chaining value of the compression with counter 0.
fn first_lane<V: Vector>(state: [V; 16]) -> [u32; 8] {
    std::array::from_fn(|word| {
        let mut lanes = [0; LANES_MAX];
        state[word].put(&mut lanes);
        lanes[0]
    })
}

/// Sixteen little-endian words, zeros after the end.
fn words(block: &[u8]) -> [u32; 16] {
    let mut padded = [0; OUTPUT_BLOCK];
    padded[..block.len()].copy_from_slice(block);
    std::array::from_fn(|word| u32::from_le_bytes(padded[4 * word..4 * word + 4].try_into().expect("four bytes")))
}

/// The compression function for several counters side by side; all 16 words of output.
#[inline(always)]
fn compress<V: Vector>(cv: &[u32; 8], message: &[u32; 16], counter: u32, length: u32, flags: u32) -> [V; 16] {
    let mut v: [V; 16] = std::array::from_fn(|word| match word {
        0..=7 => V::splat(cv[word]),
        8..=11 => V::splat(IV[word - 8]),
        12 => V::counting(counter),
        13 => V::splat(0),
        14 => V::splat(length),
        _ => V::splat(flags),
    });
    for schedule in &SCHEDULE {
        let m = |at: usize| V::splat(message[schedule[at]]);
        mix(&mut v, [0, 4, 8, 12], m(0), m(1));
        mix(&mut v, [1, 5, 9, 13], m(2), m(3));
        mix(&mut v, [2, 6, 10, 14], m(4), m(5));
        mix(&mut v, [3, 7, 11, 15], m(6), m(7));
        mix(&mut v, [0, 5, 10, 15], m(8), m(9));
        mix(&mut v, [1, 6, 11, 12], m(10), m(11));
        mix(&mut v, [2, 7, 8, 13], m(12), m(13));
        mix(&mut v, [3, 4, 9, 14], m(14), m(15));
    }
    for word in 0..8 {
        v[word] = v[word].xor(v[word + 8]);
        v[word + 8] = v[word + 8].xor(V::splat(cv[word]));
    }
    v
}

#[inline(always)]
fn mix<V: Vector>(v: &mut [V; 16], [a, b, c, d]: [usize; 4], x: V, y: V) {
    v[a] = v[a].add(v[b]).add(x);
    v[d] = v[d].xor(v[a]).rotate_right::<16, 16>();
    v[c] = v[c].add(v[d]);
    v[b] = v[b].xor(v[c]).rotate_right::<12, 20>();
    v[a] = v[a].add(v[b]).add(y);
    v[d] = v[d].xor(v[a]).rotate_right::<8, 24>();
    v[c] = v[c].add(v[d]);
    v[b] = v[b].xor(v[c]).rotate_right::<7, 25>();
}

#[cfg(target_arch = "x86_64")]
mod vector {
    use super::Vector;
    use std::arch::x86_64::*;

    /// Eight numbers. Only for code that was entered through a function with AVX2 enabled.
    #[derive(Clone, Copy)]
    pub struct Avx2(__m256i);

    // SAFETY of all methods: they are inlined into `fill_avx2`, which is called only if the processor has AVX2.
    impl Vector for Avx2 {
        const LANES: usize = 8;

        #[inline(always)]
        fn splat(value: u32) -> Self {
            Self(unsafe { _mm256_set1_epi32(value as i32) })
        }

        #[inline(always)]
        fn counting(first: u32) -> Self {
            Self(unsafe { _mm256_add_epi32(_mm256_set1_epi32(first as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)) })
        }

        #[inline(always)]
        fn add(self, other: Self) -> Self {
            Self(unsafe { _mm256_add_epi32(self.0, other.0) })
        }

        #[inline(always)]
        fn xor(self, other: Self) -> Self {
            Self(unsafe { _mm256_xor_si256(self.0, other.0) })
        }

        #[inline(always)]
        fn rotate_right<const BITS: i32, const REST: i32>(self) -> Self {
            Self(unsafe { _mm256_or_si256(_mm256_srli_epi32::<BITS>(self.0), _mm256_slli_epi32::<REST>(self.0)) })
        }

        #[inline(always)]
        fn put(self, out: &mut [u32]) {
            assert!(out.len() >= Self::LANES);
            unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), self.0) }
        }
    }
}

#[cfg(target_arch = "wasm32")]
mod vector {
    use super::Vector;
    use std::arch::wasm32::*;

    /// Four numbers.
    #[derive(Clone, Copy)]
    pub struct Simd128(v128);

    impl Vector for Simd128 {
        const LANES: usize = 4;

        #[inline(always)]
        fn splat(value: u32) -> Self {
            Self(u32x4_splat(value))
        }

        #[inline(always)]
        fn counting(first: u32) -> Self {
            Self(u32x4_add(u32x4_splat(first), u32x4(0, 1, 2, 3)))
        }

        #[inline(always)]
        fn add(self, other: Self) -> Self {
            Self(u32x4_add(self.0, other.0))
        }

        #[inline(always)]
        fn xor(self, other: Self) -> Self {
            Self(v128_xor(self.0, other.0))
        }

        #[inline(always)]
        fn rotate_right<const BITS: i32, const REST: i32>(self) -> Self {
            Self(v128_or(u32x4_shr(self.0, BITS as u32), u32x4_shl(self.0, REST as u32)))
        }

        #[inline(always)]
        fn put(self, out: &mut [u32]) {
            out[0] = u32x4_extract_lane::<0>(self.0);
            out[1] = u32x4_extract_lane::<1>(self.0);
            out[2] = u32x4_extract_lane::<2>(self.0);
            out[3] = u32x4_extract_lane::<3>(self.0);
        }
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn gives_what_the_crate_gives() {
        assert!(std::arch::is_x86_feature_detected!("avx2"), "the test needs a processor with AVX2");
        for length in [0, 1, 29, 63, 64, 65, 85, 127, 128] {
            let input: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
            let (mut expected, mut got) = ([0; 2048], [0; 2048]);
            blake3::Hasher::new().update(&input).finalize_xof().fill(&mut expected);
            // SAFETY: the processor has AVX2.
            unsafe { fill_avx2(&input, &mut got) };
            assert_eq!(got, expected, "input of {length} bytes");
        }
    }
}
