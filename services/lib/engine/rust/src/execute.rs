//! One transaction through the EVM, and its result record.

use crate::database::NoFunds;
use crate::handler::{EngineEvm, FreeGas, stop_of};
use crate::record::{self, Outcome, Transaction};
use alloy_primitives::{Address, Bytes, Log};
use revm::{
    context::{
        TxEnv,
        result::{ExecutionResult, Output},
    },
    handler::Handler,
    primitives::TxKind,
};

pub struct Executed {
    is_success: bool,
    reason: u8,
    gas_used: u64,
    created: Option<Address>,
    output: Bytes,
    logs: Vec<Log>,
}

/// Executes a record; the writes stand in the journal afterwards, and in the view whether they count. `records` is the buffer
/// that the record is a view into.
pub fn transaction(evm: &mut EngineEvm, transaction: &Transaction<'_>, records: &Bytes) -> Executed {
    prepare(&mut evm.ctx.tx, transaction, records);
    let view = &mut evm.ctx.journaled_state.database;
    let declared = if view.needs_declared() { records.slice(transaction.declared()) } else { Bytes::new() };
    view.begin(transaction.sender(), transaction.nonce(), declared);
    match FreeGas::default().run(evm) {
        Ok(result) => complete(result),
        Err(error) => match stop_of(error) {
            Ok(NoFunds) => failed(record::REASON_VOID, transaction.gas_limit(), Bytes::new()),
            Err(invalid) => panic!("transaction was checked before: {invalid}"),
        },
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
            Executed { is_success: true, reason: record::REASON_NONE, gas_used, created, output: Bytes::new(), logs }
        }
        ExecutionResult::Revert { gas, output, .. } => failed(record::REASON_REVERT, gas.tx_gas_used(), output),
        ExecutionResult::Halt { gas, .. } => failed(record::REASON_HALT, gas.tx_gas_used(), Bytes::new()),
    }
}

fn failed(reason: u8, gas_used: u64, output: Bytes) -> Executed {
    Executed { is_success: false, reason, gas_used, created: None, output, logs: Vec::new() }
}

impl Executed {
    pub fn put(self, results: &mut Vec<u8>, index: u32) {
        let Executed { is_success, reason, gas_used, created, output, logs } = self;
        let address = created.unwrap_or_default();
        let created = created.is_some();
        record::put_result(results, &Outcome { index, is_success, reason, created, gas_used, address, output, logs: &logs });
    }
}
