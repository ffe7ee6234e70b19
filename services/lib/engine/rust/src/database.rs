//! The view as revm's database. It never fails: what is missing or outside is noted, and a guess is given.

use crate::view::View;
use alloy_primitives::{Address, B256, U256};
use revm::{Database, bytecode::Bytecode, database_interface::DBErrorMarker, state::AccountInfo};

/// The sender does not have the value: a rule of this chain, not of the EVM; the transaction changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoFunds;

impl std::fmt::Display for NoFunds {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{self:?}")
    }
}

impl std::error::Error for NoFunds {}
impl DBErrorMarker for NoFunds {}

impl Database for View {
    type Error = NoFunds;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, NoFunds> {
        Ok(self.account_of(&address))
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, NoFunds> {
        self.miss_code(&code_hash);
        Ok(Bytecode::default())
    }

    #[inline]
    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, NoFunds> {
        Ok(self.slot_of(&address, &slot))
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, NoFunds> {
        Ok(self.hash_of(number))
    }
}
