//! What a transaction may touch.
//!
//! A1. Without a rule: everything that this engine owns, nothing else.
//! A2. A transaction that had to wait touches what it declared, as declared; one that runs at once also what nobody stands on.
//! A3. A member of a group touches what the group has locked, also where this engine owns more.

use crate::bytes::Reader;
use crate::owned::Owned;
use alloy_primitives::{
    Address,
    map::{AddressMap, AddressSet},
};

/// Modes of a declared or touched account (`MODE` in transactions.ts).
pub mod mode {
    pub const READ: u8 = 0;
    pub const WRITE: u8 = 1;
    pub const CODE: u8 = 2;
}
/// A mode and an address.
const DECLARED_BYTES: usize = 21;

pub enum Access {
    /// A1. With `asks`, a call: what this engine does not own is given or missing, never outside.
    Owned {
        asks: bool,
    },
    /// A2.
    Barred(AddressSet),
    Declared,
    /// A3. `None`: the whole system is locked.
    Group(Option<AddressMap<u8>>),
}

impl Access {
    /// True if what an engine owns is free to be touched, so that no account has to be looked up.
    pub fn is_plain(&self) -> bool {
        matches!(self, Access::Owned { .. })
    }

    /// True if a group has declared of the account nothing but its code.
    pub fn is_code(&self, address: &Address) -> bool {
        matches!(self, Access::Group(Some(allowed)) if allowed.get(address) == Some(&mode::CODE))
    }

    /// In which mode the account may be touched; `declared` is the transaction's own declared set.
    pub fn mode(&self, owned: &Owned, declared: &[u8], address: &Address) -> Option<u8> {
        match self {
            Access::Owned { asks } => (*asks || owned.contains(address)).then_some(mode::WRITE),
            Access::Barred(_) | Access::Declared if !owned.contains(address) => None,
            Access::Barred(barred) if !barred.contains(address) => Some(mode::WRITE),
            Access::Barred(_) | Access::Declared => declared_mode(declared, address),
            Access::Group(None) => Some(mode::WRITE),
            Access::Group(Some(allowed)) => allowed.get(address).copied(),
        }
    }
}

/// The declared set is ascending by address.
fn declared_mode(declared: &[u8], address: &Address) -> Option<u8> {
    let (mut low, mut high) = (0, declared.len() / DECLARED_BYTES);
    while low < high {
        let middle = low + (high - low) / 2;
        let entry = &declared[middle * DECLARED_BYTES..(middle + 1) * DECLARED_BYTES];
        match entry[1..].cmp(address.as_slice()) {
            std::cmp::Ordering::Equal => return Some(entry[0]),
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    None
}

/// (u8 mode, b20 address)*
pub fn modes(packed: &[u8]) -> AddressMap<u8> {
    let mut reader = Reader::new(packed);
    let mut modes = AddressMap::default();
    while !reader.is_done() {
        let mode = reader.u8();
        modes.insert(reader.address(), mode);
    }
    modes
}

/// b20*
pub fn addresses(packed: &[u8]) -> AddressSet {
    packed.chunks_exact(20).map(Address::from_slice).collect()
}
