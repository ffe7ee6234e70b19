//! The digest: an LtHash over all cells. It does not depend on how the state is cut into engines: lattices add up.
//!
//! A cell's element is 2,048 bytes of BLAKE3's extendable output over its encoding, read as 1,024 little-endian 16-bit lanes;
//! a lattice is the lane-wise sum mod 2^16. See Bellare, Micciancio 1997; "Securing Update Propagation with Homomorphic
//! Hashing" (Facebook, 2019) for the parameters; Solana SIMD-0215 for the same choice of BLAKE3.

use crate::cells::{self, Cell};
use crate::xof;
use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256, keccak256};

pub const LATTICE_BYTES: usize = 2048;
const LANES: usize = LATTICE_BYTES / 2;

/// First byte of a cell's encoding, so that no two kinds of cells can have the same one.
const DOMAIN_ACCOUNT: u8 = 1;
const DOMAIN_NONCE: u8 = 2;
const DOMAIN_SLOT: u8 = 3;

/// One cell's share. A cell that reads as never written has none.
pub enum Element<'a> {
    Account(&'a Address, &'a U256, &'a B256),
    Nonce(&'a Address, u64),
    Slot(&'a Address, &'a U256, &'a U256),
}

pub struct Lattice {
    lanes: Box<[u16; LANES]>,
}

impl Lattice {
    pub fn new() -> Self {
        Self { lanes: Box::new([0; LANES]) }
    }

    pub fn add(&mut self, element: &Element<'_>) {
        self.mix(element, u16::wrapping_add);
    }

    pub fn subtract(&mut self, element: &Element<'_>) {
        self.mix(element, u16::wrapping_sub);
    }

    /// Generic, so that the loop over the lanes becomes vector code.
    #[inline]
    fn mix(&mut self, element: &Element<'_>, operation: impl Fn(u16, u16) -> u16) {
        let mut encoding = [0u8; 85];
        let Some(length) = element.encode(&mut encoding) else { return };
        let mut output = [0u8; LATTICE_BYTES];
        xof::fill(&encoding[..length], &mut output);
        for (lane, bytes) in self.lanes.iter_mut().zip(output.chunks_exact(2)) {
            *lane = operation(*lane, u16::from_le_bytes([bytes[0], bytes[1]]));
        }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        self.lanes.iter().flat_map(|lane| lane.to_le_bytes()).collect()
    }
}

impl Element<'_> {
    /// Writes the encoding and returns its length; `None` if the cell reads as never written.
    fn encode(&self, out: &mut [u8; 85]) -> Option<usize> {
        match self {
            Element::Account(address, balance, code_hash) => {
                if balance.is_zero() && **code_hash == KECCAK256_EMPTY {
                    return None;
                }
                put_key(out, DOMAIN_ACCOUNT, address);
                out[21..53].copy_from_slice(&balance.to_be_bytes::<32>());
                out[53..85].copy_from_slice(code_hash.as_slice());
                Some(85)
            }
            Element::Nonce(address, nonce) => {
                if *nonce == 0 {
                    return None;
                }
                put_key(out, DOMAIN_NONCE, address);
                out[21..29].copy_from_slice(&nonce.to_le_bytes());
                Some(29)
            }
            Element::Slot(address, slot, value) => {
                if value.is_zero() {
                    return None;
                }
                put_key(out, DOMAIN_SLOT, address);
                out[21..53].copy_from_slice(&slot.to_be_bytes::<32>());
                out[53..85].copy_from_slice(&value.to_be_bytes::<32>());
                Some(85)
            }
        }
    }
}

fn put_key(out: &mut [u8; 85], domain: u8, address: &Address) {
    out[0] = domain;
    out[1..21].copy_from_slice(address.as_slice());
}

/// The lattice of packed cells alone; codes and erased accounts have no share of their own.
pub fn of(packed: &[u8]) -> Vec<u8> {
    let mut lattice = Lattice::new();
    for cell in cells::cells(packed) {
        match cell {
            Cell::Account { address, balance, code_hash } => lattice.add(&Element::Account(&address, &balance, &code_hash)),
            Cell::Nonce { address, nonce, .. } => lattice.add(&Element::Nonce(&address, nonce)),
            Cell::Slot { address, slot, value } => lattice.add(&Element::Slot(&address, &slot, &value)),
            Cell::Code { .. } | Cell::Erased { .. } => {}
        }
    }
    lattice.to_bytes()
}

/// keccak256 of the sum of lattices packed behind each other.
pub fn fold(lattices: &[u8]) -> B256 {
    assert!(lattices.len().is_multiple_of(LATTICE_BYTES), "lattices are {LATTICE_BYTES} bytes each");
    let mut sum = [0u16; LANES];
    for lattice in lattices.chunks_exact(LATTICE_BYTES) {
        for (lane, bytes) in sum.iter_mut().zip(lattice.chunks_exact(2)) {
            *lane = lane.wrapping_add(u16::from_le_bytes([bytes[0], bytes[1]]));
        }
    }
    keccak256(sum.iter().flat_map(|lane| lane.to_le_bytes()).collect::<Vec<_>>())
}
