//! The chain's own rules around revm's interpreter.
//!
//! F1. Gas is free: price 0, nothing charged, nothing paid out. The sender's account is loaded only if value moves.
//! F2. Sender and `to` are warm without being loaded (EIP-2929), as are the beneficiary (EIP-3651), precompiles and the access
//!     list.
//! F3. A top-level creation takes its address from the transaction's nonce; the sender's nonce cell is not touched.
//! F4. A precompile runs without its account record. What looks at the record (balance, existence) is a touch like any other.
//! F5. What looks at a balance or a nonce is watched: an account of which only the code was used is touched in mode `code`. A
//!     watch may see a look where the instruction then fails before it; that costs a mode, never a wrong result.

use crate::database::NoFunds;
use crate::halt::HaltedAt;
use crate::history::BlockContext;
use crate::view::View;
use alloy_primitives::{Address, B256, U256, map::AddressSet};
use revm::{
    Context,
    bytecode::{Bytecode, opcode},
    context::{
        BlockEnv, CfgEnv, ContextSetters, ContextTr, Evm, JournalTr, TxEnv,
        result::{EVMError, HaltReason, InvalidTransaction},
        transaction::AccessListItemTr,
    },
    context_interface::block::BlobExcessGasAndPrice,
    handler::{
        CreateFrame, EthFrame, EthPrecompiles, EvmTr, FrameData, FrameResult, Handler, ItemOrResult,
        instructions::EthInstructions,
    },
    interpreter::{
        CallInput, CreateInputs, CreateOutcome, FrameInput, Gas, InitialAndFloorGas, InputsImpl, Instruction, InstructionContext,
        InstructionExecResult, InterpreterResult,
        instructions::{contract, host},
        interpreter::{EthInterpreter, ExtBytecode},
        interpreter_action::FrameInit,
        interpreter_types::{InputsTr, Jumps},
    },
    primitives::{Bytes, TxKind, hardfork::SpecId},
};

/// The rules version that transactions run under.
pub const SPEC: SpecId = SpecId::OSAKA;

pub type Ctx = Context<BlockEnv, TxEnv, CfgEnv, View>;
pub type EngineEvm = Evm<Ctx, (), EthInstructions<EthInterpreter, Ctx>, EthPrecompiles, EthFrame<EthInterpreter>>;
type EngineError = EVMError<NoFunds>;

/// An EVM over a view, good for many transactions of one block.
pub fn evm(view: View, block: &BlockContext, chain_id: u64) -> EngineEvm {
    let mut ctx: Ctx = Context::new(view, SPEC);
    ctx.cfg.chain_id = chain_id;
    ctx.cfg.tx_gas_limit_cap = Some(u64::MAX); // EIP-7825 is checked when a transaction is decoded; calls have their own bound.
    ctx.set_block(block_env(block));
    let mut instructions = EthInstructions::new_mainnet_with_spec(SPEC);
    let watched: [(u8, Instruction<EthInterpreter, Ctx>); 9] = [
        (opcode::SSTORE, Instruction::new(watch_sstore)),
        (opcode::BALANCE, Instruction::new(watch_balance)),
        (opcode::SELFBALANCE, Instruction::new(watch_selfbalance)),
        (opcode::EXTCODEHASH, Instruction::new(watch_extcodehash)),
        (opcode::CALL, Instruction::new(watch_call)),
        (opcode::CALLCODE, Instruction::new(watch_callcode)),
        (opcode::CREATE, Instruction::new(watch_create::<false>)),
        (opcode::CREATE2, Instruction::new(watch_create::<true>)),
        (opcode::SELFDESTRUCT, Instruction::new(watch_selfdestruct)),
    ];
    for (code, instruction) in watched {
        instructions.instruction_table_mut()[code as usize] = instruction;
    }
    let precompiles = EthPrecompiles::new(SPEC);
    let mut warm: AddressSet = precompiles.warm_addresses().clone();
    warm.insert(Address::ZERO); // The beneficiary: the journal's own place for it holds the sender (F2).
    ctx.journaled_state.warm_precompiles(&warm);
    Evm::new(ctx, instructions, precompiles)
}

fn block_env(block: &BlockContext) -> BlockEnv {
    BlockEnv {
        number: U256::from(block.number),
        beneficiary: Address::ZERO,
        timestamp: U256::from(block.timestamp),
        gas_limit: block.gas_limit,
        basefee: 0,
        difficulty: U256::ZERO,
        prevrandao: Some(block.prevrandao),
        blob_excess_gas_and_price: Some(BlobExcessGasAndPrice { excess_blob_gas: 0, blob_gasprice: 1 }),
        slot_num: 0,
    }
}

/// revm's handler with the parts replaced that would load or pay the sender.
#[derive(Default)]
pub struct FreeGas {
    /// Filled when the outermost frame halts.
    pub halted_at: HaltedAt,
}

impl Handler for FreeGas {
    type Evm = EngineEvm;
    type Error = EngineError;
    type HaltReason = HaltReason;

    fn validate(&self, evm: &mut EngineEvm) -> Result<InitialAndFloorGas, EngineError> {
        let gas = self.validate_initial_tx_gas(evm)?;
        let (tx, journal) = evm.ctx.tx_journal_mut();
        if !tx.value.is_zero() {
            let balance = journal.load_account(tx.caller)?.info.balance;
            if balance < tx.value {
                if !journal.database.is_guess(&tx.caller) {
                    return Err(NoFunds.into());
                }
                // It goes on as if it could pay, to find out what else it needs.
                journal.inner.state.get_mut(&tx.caller).expect("just loaded").info.balance = tx.value;
            }
            if let TxKind::Call(to) = tx.kind {
                journal.database.look_at_precompile(to);
            }
        }
        Ok(gas)
    }

    fn load_accounts(&self, evm: &mut EngineEvm) -> Result<(), EngineError> {
        let (tx, journal) = evm.ctx.tx_journal_mut();
        journal.warm_coinbase_account(tx.caller);
        if !tx.access_list.is_empty() {
            let mut warm = alloy_primitives::map::AddressMap::default();
            for item in tx.access_list.iter() {
                let slots: &mut revm::primitives::HashSet<U256> = warm.entry(item.address).or_default();
                slots.extend(item.storage_slots().map(|slot| U256::from_be_bytes(slot.0)));
            }
            journal.warm_access_list(warm);
        }
        Ok(())
    }

    fn run_exec_loop(&mut self, evm: &mut EngineEvm, first: FrameInit) -> Result<FrameResult, EngineError> {
        let FrameInit { depth, memory, frame_input } = first;
        let begun = match frame_input {
            FrameInput::Create(inputs) => begin_creation(evm, inputs, memory)?,
            frame_input => evm.frame_init(FrameInit { depth, memory, frame_input })?.map_item(drop),
        };
        if let ItemOrResult::Result(result) = begun {
            return Ok(result);
        }
        loop {
            let result = match evm.frame_run()? {
                ItemOrResult::Result(result) if result.instruction_result().is_halt() => {
                    self.note_halt(evm);
                    result
                }
                ItemOrResult::Item(init) => match evm.frame_init(init)? {
                    ItemOrResult::Item(_) => continue,
                    ItemOrResult::Result(result) => result,
                },
                ItemOrResult::Result(result) => result,
            };
            if let Some(result) = evm.frame_return_result(result)? {
                return Ok(result);
            }
        }
    }

    fn reimburse_caller(&self, _: &mut EngineEvm, _: &mut FrameResult) -> Result<(), EngineError> {
        Ok(())
    }

    fn reward_beneficiary(&self, _: &mut EngineEvm, _: &mut FrameResult) -> Result<(), EngineError> {
        Ok(())
    }
}

impl FreeGas {
    fn note_halt(&mut self, evm: &mut EngineEvm) {
        if evm.frame_stack.index() == Some(0) {
            let interpreter = &evm.frame_stack.get().interpreter;
            let at = interpreter.bytecode.pc().saturating_sub(1); // The program counter is past the instruction.
            let opcode = interpreter.bytecode.original_byte_slice().get(at).copied().unwrap_or_default();
            self.halted_at = HaltedAt { opcode, stack: interpreter.stack.len() };
        }
    }
}

/// The first frame of a creation: as revm's `make_create_frame`, but the address comes from the transaction's nonce and the
/// sender's nonce stays as the nonce record left it (F3).
fn begin_creation(
    evm: &mut EngineEvm,
    inputs: Box<CreateInputs>,
    memory: revm::interpreter::SharedMemory,
) -> Result<ItemOrResult<(), FrameResult>, EngineError> {
    let ctx = &mut evm.ctx;
    let created = inputs.created_address(ctx.tx.nonce);
    ctx.journaled_state.load_account(created)?;
    if !inputs.value().is_zero() {
        // The checkpoint below takes the value from the sender without saying so: revm's own validation has touched it already.
        ctx.journaled_state.touch_account(inputs.caller());
    }
    let started = ctx.journaled_state.create_account_checkpoint(inputs.caller(), created, inputs.value(), SPEC);
    let gas = Gas::new_with_regular_gas_and_reservoir(inputs.gas_limit(), inputs.reservoir());
    let checkpoint = match started {
        Ok(checkpoint) => checkpoint,
        Err(error) => {
            let result = InterpreterResult { result: error.into(), gas, output: Bytes::new() };
            let outcome = CreateOutcome { result, address: None, charged_create_state_gas: false };
            return Ok(ItemOrResult::Result(FrameResult::Create(outcome)));
        }
    };
    let bytecode = ExtBytecode::new_with_optional_hash(Bytecode::new_legacy(inputs.init_code().clone()), None);
    let input = InputsImpl {
        target_address: created,
        caller_address: inputs.caller(),
        bytecode_address: None,
        input: CallInput::Bytes(Bytes::new()),
        call_value: inputs.value(),
        depth: 0,
    };
    let (gas_limit, reservoir) = (inputs.gas_limit(), inputs.reservoir());
    let mut frame = evm.frame_stack.start_init();
    frame.get(EthFrame::invalid).clear(
        FrameData::Create(CreateFrame { created_address: created }),
        FrameInput::Create(inputs),
        0,
        memory,
        bytecode,
        input,
        false,
        SPEC,
        gas_limit,
        reservoir,
        checkpoint,
    );
    let token = frame.consume();
    // SAFETY: the token comes from `start_init` of this very stack, one line above.
    unsafe { evm.frame_stack.end_init(token) };
    Ok(ItemOrResult::Item(()))
}

type Step<'a> = InstructionContext<'a, Ctx, EthInterpreter>;

/// The stack's address at `depth`; the instruction itself reports an underflow.
fn address_at(step: &Step<'_>, depth: usize) -> Option<Address> {
    step.interpreter.stack.peek(depth).ok().map(|word| Address::from_word(B256::from(word)))
}

fn look_at_precompile(step: &mut Step<'_>, depth: usize) {
    if let Some(address) = address_at(step, depth) {
        step.host.journaled_state.database.look_at_precompile(address);
    }
}

/// F5: the balance or nonce of the account whose storage the code runs on.
fn look_at_self(step: &mut Step<'_>) {
    let address = step.interpreter.input.target_address();
    step.host.journaled_state.database.look(address);
}

fn sends_value(step: &Step<'_>) -> bool {
    step.interpreter.stack.peek(2).is_ok_and(|value| !value.is_zero())
}

fn watch_balance(step: Step<'_>) -> InstructionExecResult {
    if let Some(address) = address_at(&step, 0) {
        step.host.journaled_state.database.look(address);
    }
    host::balance(step)
}

fn watch_selfbalance(mut step: Step<'_>) -> InstructionExecResult {
    look_at_self(&mut step);
    host::selfbalance(step)
}

fn watch_extcodehash(mut step: Step<'_>) -> InstructionExecResult {
    look_at_precompile(&mut step, 0);
    host::extcodehash(step)
}

fn watch_sstore(step: Step<'_>) -> InstructionExecResult {
    let address = step.interpreter.input.target_address();
    step.host.journaled_state.database.try_write(address);
    host::sstore(step)
}

fn watch_call(mut step: Step<'_>) -> InstructionExecResult {
    if sends_value(&step) {
        look_at_precompile(&mut step, 1);
        look_at_self(&mut step);
        let payee = address_at(&step, 1);
        let view = &mut step.host.journaled_state.database;
        view.try_write(step.interpreter.input.target_address());
        payee.into_iter().for_each(|payee| view.try_write(payee));
    }
    contract::call::<{ opcode::CALL }, _, _>(step)
}

fn watch_callcode(mut step: Step<'_>) -> InstructionExecResult {
    if sends_value(&step) {
        look_at_self(&mut step);
    }
    contract::call::<{ opcode::CALLCODE }, _, _>(step)
}

fn watch_create<const IS_CREATE2: bool>(mut step: Step<'_>) -> InstructionExecResult {
    look_at_self(&mut step);
    contract::create::<IS_CREATE2, _, _>(step)
}

fn watch_selfdestruct(mut step: Step<'_>) -> InstructionExecResult {
    look_at_precompile(&mut step, 0);
    look_at_self(&mut step);
    host::selfdestruct(step)
}

/// Why a transaction was not executed at all.
pub fn stop_of(error: EngineError) -> Result<NoFunds, InvalidTransaction> {
    match error {
        EVMError::Database(stop) => Ok(stop),
        EVMError::Transaction(invalid) => Err(invalid),
        other => panic!("execution failed outside the rules: {other}"),
    }
}
