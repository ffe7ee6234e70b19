//! What a view keeps of the transaction at hand.

use alloy_primitives::{Address, B256, Bytes, map::AddressSet};

/// Why a transaction did not come to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    Outside,
    Follows,
    Unsealed(u64),
}

/// What belongs to the transaction at hand.
#[derive(Default)]
pub struct Turn {
    pub sender: Address,
    /// What the sender's nonce reads as, at least.
    pub nonce_min: u64,
    pub declared: Bytes,
    /// Why it does not come to an end: the first reason found.
    pub why: Option<Why>,
    /// Accounts whose balance, nonce or mere existence it looked at, as far as their cells alone do not tell.
    pub looked: AddressSet,
    /// Accounts that it tried to write after the first guess: whether it does in the end may hang on the guess.
    pub tried: AddressSet,
    /// Hashes of accounts whose code is not here, and whom to ask for it.
    pub unknown_code: Vec<(B256, Option<Address>)>,
}

impl Turn {
    /// The tables keep their room, and in the usual case they are empty.
    pub fn begin(&mut self, sender: Address, nonce: u64, declared: Bytes) {
        self.sender = sender;
        self.nonce_min = nonce + 1;
        self.declared = declared;
        self.why = None;
        if !self.looked.is_empty() {
            self.looked.clear();
        }
        if !self.tried.is_empty() {
            self.tried.clear();
        }
        self.unknown_code.clear();
    }
}
