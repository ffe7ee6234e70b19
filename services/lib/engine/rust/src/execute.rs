//! One transaction through the EVM, and its result record.

use crate::handler::{EngineEvm, FreeGas, stop_of};
use crate::record::{self, Outcome, Transaction};
use crate::view::Stop;
use alloy_primitives::{Address, Bytes, Log};
use revm::{
    context::{
        TxEnv,
        result::{ExecutionResult, Output},
    },
    handler::Handler,
    primitives::TxKind,
};

pub enum Executed {
    Complete { is_success: bool, reason: u8, gas_used: u64, created: Option<Address>, output: Bytes, logs: Vec<Log> },
    Stopped(Stop),
}

/// Executes a record; the writes stand in the journal afterwards. `records` is the buffer that the record is a view into.
pub fn transaction(evm: &mut EngineEvm, transaction: &Transaction<'_>, records: &Bytes) -> Executed {
    prepare(&mut evm.ctx.tx, transaction, records);
    match FreeGas::default().run(evm) {
        Ok(result) => complete(result),
        Err(error) => {
            Executed::Stopped(stop_of(error).unwrap_or_else(|invalid| panic!("transaction was checked before: {invalid}")))
        }
    }
}

fn prepare(env: &mut TxEnv, transaction: &Transaction<'_>, records: &Bytes) {
    let fields = transaction.fields();
    let raw_start = transaction.start + transaction.raw_offset();
    env.tx_type = transaction.kind();
    env.caller = transaction.sender();
    env.gas_limit = transaction.gas_limit();
    env.gas_price = 0;
    env.kind = if transaction.creates() { TxKind::Create } else { TxKind::Call(transaction.to()) };
    env.value = fields.value;
    env.data = records.slice(raw_start + fields.input.start..raw_start + fields.input.end);
    env.nonce = transaction.nonce();
    env.access_list = fields.access_list;
}

fn complete(result: ExecutionResult) -> Executed {
    match result {
        ExecutionResult::Success { gas, logs, output, .. } => {
            let created = match output {
                Output::Create(_, address) => address,
                Output::Call(_) => None,
            };
            let gas_used = gas.tx_gas_used();
            Executed::Complete { is_success: true, reason: record::REASON_NONE, gas_used, created, output: Bytes::new(), logs }
        }
        ExecutionResult::Revert { gas, output, .. } => failed(record::REASON_REVERT, gas.tx_gas_used(), output),
        ExecutionResult::Halt { gas, .. } => failed(record::REASON_HALT, gas.tx_gas_used(), Bytes::new()),
    }
}

fn failed(reason: u8, gas_used: u64, output: Bytes) -> Executed {
    Executed::Complete { is_success: false, reason, gas_used, created: None, output, logs: Vec::new() }
}

impl Executed {
    /// True if the EVM came to an end, well or badly; its writes then count.
    pub fn is_complete(&self) -> bool {
        matches!(self, Executed::Complete { .. })
    }

    pub fn put(self, results: &mut Vec<u8>, transaction: &Transaction<'_>) {
        let index = transaction.index();
        match self {
            Executed::Complete { is_success, reason, gas_used, created, output, logs } => {
                let address = created.unwrap_or_default();
                let created = created.is_some();
                let outcome = Outcome { index, is_success, reason, created, gas_used, address, value: 0, output, logs: &logs };
                record::put_result(results, &outcome);
            }
            Executed::Stopped(stop) => {
                let gas_used = transaction.gas_limit();
                let (reason, address, value) = match stop {
                    Stop::Missing(address) => (record::REASON_FOREIGN, address, 0),
                    Stop::Unsealed(number) => (record::REASON_UNSEALED, Address::ZERO, number),
                    Stop::Funds => (record::REASON_FUNDS, Address::ZERO, 0),
                };
                record::put_result(results, &Outcome { index, reason, gas_used, address, value, ..Outcome::default() });
            }
        }
    }
}
