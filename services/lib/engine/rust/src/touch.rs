//! What a transaction touched, and the packed touch record (`touches.ts`).

use crate::access::mode;
use crate::bytes::Packed;
use crate::turn::Why;
use crate::view::View;
use alloy_primitives::{Address, KECCAK256_EMPTY, U256};
use revm::state::{Account as JournalAccount, EvmState};

/// True if the transaction wrote any cell of the account.
#[inline]
pub fn is_changed(account: &JournalAccount) -> bool {
    account.is_touched()
        && (account.is_selfdestructed() || account.is_changed() || account.storage.values().any(|slot| slot.is_changed()))
}

/// Osaka: 0x01 to 0x11, and 0x100 (EIP-7951).
#[inline]
pub fn is_precompile(address: &Address) -> bool {
    let (head, tail) = address.split_at(18);
    let number = u16::from_be_bytes([tail[0], tail[1]]);
    head.iter().all(|byte| *byte == 0) && matches!(number, 0x01..=0x11 | 0x100)
}

/// Accounts and modes, ascending by address.
pub fn touched(view: &View, changes: &EvmState, payer: Option<Address>) -> Vec<(Address, u8)> {
    let mut touched: Vec<_> = changes
        .iter()
        .filter_map(|(address, account)| Some((*address, mode_of(view, address, account, payer == Some(*address))?)))
        .collect();
    touched.sort_unstable();
    touched
}

/// A precompile whose record was not looked at is none.
fn mode_of(view: &View, address: &Address, account: &JournalAccount, pays: bool) -> Option<u8> {
    let has_looked = pays || view.has_looked(address);
    if is_changed(account) || (pays && view.why().is_some()) || view.has_tried(address) {
        Some(mode::WRITE)
    } else if has_looked {
        Some(mode::READ)
    } else if is_precompile(address) {
        None
    } else if account.info.code_hash != KECCAK256_EMPTY
        && !account.storage.keys().any(|slot| view.is_cell(address, slot))
        && view.has_old_code(address)
    {
        Some(mode::CODE)
    } else {
        Some(mode::READ)
    }
}

/// (u8 mode, b20 address)*
pub fn put_touched(out: &mut Vec<u8>, touched: &[(Address, u8)]) {
    for (address, mode) in touched {
        out.put_u8(*mode);
        out.put(address.as_slice());
    }
}

pub fn put_record(out: &mut Vec<u8>, index: u32, why: Option<Why>, touched: &[(Address, u8)]) {
    let (why, value) = match why {
        None => (0, 0),
        Some(Why::Outside) => (1, 0),
        Some(Why::Follows) => (2, 0),
        Some(Why::Unsealed(number)) => (3, number),
    };
    out.put_u32((20 + 21 * touched.len()) as u32);
    out.put_u32(index);
    out.put(&[why, 0]);
    out.put_u16(u16::try_from(touched.len()).expect("a transaction's gas bounds what it touches"));
    out.put_u64(value);
    put_touched(out, touched);
}

/// The EIP-2930 list, ascending: (b20 address, u16 slots, b32 * slots)*. Without precompiles, and without `excluded` and created
/// accounts unless slots of theirs were touched.
pub fn put_access_list(out: &mut Vec<u8>, changes: &EvmState, excluded: &[Address]) {
    let mut accounts: Vec<_> = changes
        .iter()
        .filter(|(address, account)| {
            let is_left_out = excluded.contains(address) || account.is_created() || is_precompile(address);
            !(is_left_out && account.storage.is_empty())
        })
        .collect();
    accounts.sort_unstable_by_key(|(address, _)| **address);
    for (address, account) in accounts {
        let mut slots: Vec<&U256> = account.storage.keys().collect();
        slots.sort_unstable();
        out.put(address.as_slice());
        out.put_u16(u16::try_from(slots.len()).unwrap_or(u16::MAX));
        slots.iter().take(usize::from(u16::MAX)).for_each(|slot| out.put_u256(slot));
    }
}
