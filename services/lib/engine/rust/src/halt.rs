//! Why an execution halted, in geth's words: clients look at them.

use revm::{bytecode::opcode::OpCode, context::result::HaltReason};

/// Where the outermost frame halted: opcode and height of the stack.
#[derive(Default, Clone, Copy)]
pub struct HaltedAt {
    pub opcode: u8,
    pub stack: usize,
}

/// See go-ethereum core/vm/errors.go.
pub fn wording(reason: &HaltReason, at: &HaltedAt) -> String {
    match reason {
        HaltReason::OutOfGas(_) => "out of gas".into(),
        HaltReason::OpcodeNotFound | HaltReason::NotActivated => format!("invalid opcode: opcode {:#x} not defined", at.opcode),
        HaltReason::InvalidFEOpcode => "invalid opcode: INVALID".into(),
        HaltReason::InvalidJump => "invalid jump destination".into(),
        HaltReason::StackUnderflow => {
            let needed = OpCode::new(at.opcode).map_or(0, |opcode| opcode.info().inputs());
            format!("stack underflow ({} <=> {needed})", at.stack)
        }
        HaltReason::StackOverflow => format!("stack limit reached 1024 ({})", at.stack.saturating_sub(1)),
        HaltReason::OutOfOffset => "return data out of bounds".into(),
        HaltReason::CreateCollision => "contract address collision".into(),
        HaltReason::PrecompileError => "precompile failed".into(),
        HaltReason::PrecompileErrorWithContext(text) => text.clone(),
        HaltReason::NonceOverflow => "nonce uint64 overflow".into(),
        HaltReason::CreateContractSizeLimit => "max code size exceeded".into(),
        HaltReason::CreateContractStartingWithEF => "invalid code: must not begin with 0xef".into(),
        HaltReason::CreateInitCodeSizeLimit => "max initcode size exceeded".into(),
        HaltReason::StateChangeDuringStaticCall | HaltReason::CallNotAllowedInsideStatic => "write protection".into(),
        HaltReason::OutOfFunds | HaltReason::OverflowPayment => "insufficient balance for transfer".into(),
        HaltReason::CallTooDeep => "max call depth exceeded".into(),
    }
}
