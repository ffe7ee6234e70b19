//! Packed cells (`services/lib/core/src/cells.ts`): one format for genesis, snapshots, grants, write sets and reads.

use crate::bytes::{Packed, Reader};
use alloy_primitives::{Address, B256, U256};

pub const ACCOUNT: u8 = 1;
pub const NONCE: u8 = 2;
pub const SLOT: u8 = 3;
pub const CODE: u8 = 4;
pub const ERASED: u8 = 5;

/// One cell of a packed buffer; code is a view into it.
pub enum Cell<'a> {
    Account { address: Address, balance: U256, code_hash: B256 },
    Nonce { address: Address, nonce: u64, hash: B256 },
    Slot { address: Address, slot: U256, value: U256 },
    Code { address: Address, code: &'a [u8] },
    Erased { address: Address },
}

impl Cell<'_> {
    pub fn address(&self) -> &Address {
        match self {
            Cell::Account { address, .. }
            | Cell::Nonce { address, .. }
            | Cell::Slot { address, .. }
            | Cell::Code { address, .. }
            | Cell::Erased { address } => address,
        }
    }
}

/// The name of a cell, as it stands in a read request. The order is the order of requests.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CellKey {
    pub address: Address,
    pub kind: u8,
    pub slot: U256, // 0 unless the kind is a slot
}

/// All cells of a packed buffer in order.
pub fn cells(packed: &[u8]) -> impl Iterator<Item = Cell<'_>> {
    let mut reader = Reader::new(packed);
    std::iter::from_fn(move || {
        if reader.is_done() {
            return None;
        }
        let kind = reader.u8();
        let address = reader.address();
        Some(match kind {
            ACCOUNT => Cell::Account { address, balance: reader.u256(), code_hash: reader.b256() },
            NONCE => Cell::Nonce { address, nonce: reader.u64(), hash: reader.b256() },
            SLOT => Cell::Slot { address, slot: reader.u256(), value: reader.u256() },
            CODE => {
                let length = reader.u32() as usize;
                Cell::Code { address, code: reader.take(length) }
            }
            ERASED => Cell::Erased { address },
            other => panic!("unknown kind of cell {other}"),
        })
    })
}

/// All keys of a read request in order.
pub fn keys(request: &[u8]) -> impl Iterator<Item = CellKey> + '_ {
    let mut reader = Reader::new(request);
    std::iter::from_fn(move || {
        if reader.is_done() {
            return None;
        }
        let kind = reader.u8();
        let address = reader.address();
        let slot = if kind == SLOT { reader.u256() } else { U256::ZERO };
        assert!((ACCOUNT..=CODE).contains(&kind), "unknown kind of cell {kind} in a read request");
        Some(CellKey { address, kind, slot })
    })
}

pub fn put_key(out: &mut Vec<u8>, key: &CellKey) {
    out.put_u8(key.kind);
    out.put(key.address.as_slice());
    if key.kind == SLOT {
        out.put_u256(&key.slot);
    }
}

pub fn put_account(out: &mut Vec<u8>, address: &Address, balance: &U256, code_hash: &B256) {
    out.put_u8(ACCOUNT);
    out.put(address.as_slice());
    out.put_u256(balance);
    out.put(code_hash.as_slice());
}

pub fn put_nonce(out: &mut Vec<u8>, address: &Address, nonce: u64, hash: &B256) {
    out.put_u8(NONCE);
    out.put(address.as_slice());
    out.put_u64(nonce);
    out.put(hash.as_slice());
}

pub fn put_slot(out: &mut Vec<u8>, address: &Address, slot: &U256, value: &U256) {
    out.put_u8(SLOT);
    out.put(address.as_slice());
    out.put_u256(slot);
    out.put_u256(value);
}

pub fn put_code(out: &mut Vec<u8>, address: &Address, code: &[u8]) {
    out.put_u8(CODE);
    out.put(address.as_slice());
    out.put_u32(code.len() as u32);
    out.put(code);
}

pub fn put_erased(out: &mut Vec<u8>, address: &Address) {
    out.put_u8(ERASED);
    out.put(address.as_slice());
}
