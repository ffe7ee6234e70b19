//! Ethereum's own rules, gas charged and all forks, over the same state and view: for Ethereum's state tests.
//!
//! One case is one packed input: fork, environment, transaction, accounts before; the answer holds all accounts after.

use crate::access::Access;
use crate::bytes::{Packed, Reader};
use crate::cells;
use crate::decode::HALF_ORDER;
use crate::engine::Engine;
use crate::handler::Ctx;
use crate::owned::Owned;
use crate::state::State;
use crate::view::View;
use alloy_consensus::{EthereumTxEnvelope, Transaction, TxEip4844};
use alloy_eips::{Decodable2718, eip7702::SignedAuthorization};
use alloy_primitives::{Address, B256, Signature, U256, keccak256};
use revm::{
    Context, MainBuilder,
    context::{
        BlockEnv, TxEnv,
        either::Either,
        result::ExecutionResult,
        transaction::{RecoveredAuthority, RecoveredAuthorization},
    },
    context_interface::block::BlobExcessGasAndPrice,
    handler::{Handler, MainnetHandler},
    precompile::crypto,
    primitives::hardfork::SpecId,
};

/// Blocks whose hash BLOCKHASH can see.
const HASHES: u64 = 256;
const REFUSED: u8 = 0;
const EXECUTED: u8 = 1;

struct Case {
    spec: SpecId,
    chain_id: u64,
    block: BlockEnv,
    blobs_max: Option<u64>,
    update_fraction: u64,
    /// Execute as if nothing was offered for gas: what this chain's own handler must come to by another way.
    is_free: bool,
}

/// Answer: u8 executed; b32 hash of the logs; u8 success; u64 gasUsed; u32 number of logs; u32 length, why it was refused;
/// cells of all accounts.
pub fn run(packed: &[u8]) -> Vec<u8> {
    let mut reader = Reader::new(packed);
    let case = Case::unpack(&mut reader);
    let length = reader.u32() as usize;
    let raw = reader.take(length);
    let length = reader.u32() as usize;
    let mut engine = Engine::new(case.chain_id);
    engine.set_owned(Owned::everything());
    engine.open_block(Default::default());
    engine.import(reader.take(length));
    let number = case.block.number.to::<u64>();
    for earlier in number.saturating_sub(HASHES)..number {
        engine.seal(earlier, keccak256(earlier.to_string())); // The convention of the tests.
    }
    let (status, facts, why) = match execute(&engine, &case, raw) {
        Ok(result) => (EXECUTED, (result.is_success(), result.tx_gas_used(), result.into_logs()), String::new()),
        Err(why) => (REFUSED, (false, 0, Vec::new()), why),
    };
    let (is_success, gas_used, logs) = facts;
    let mut out = Vec::new();
    out.put_u8(status);
    out.put(keccak256(alloy_rlp::encode(&logs)).as_slice());
    out.put_u8(is_success as u8);
    out.put_u64(gas_used);
    out.put_u32(logs.len() as u32);
    out.put_u32(why.len() as u32);
    out.put(why.as_bytes());
    dump(&engine.shared.state.read().expect("no writer panicked"), &mut out);
    out
}

impl Case {
    /// Layout: u8 length, fork; u64 chainId; u64 number, timestamp, gasLimit, baseFee; b20 beneficiary; b32 difficulty;
    /// u8 hasRandom, b32 random; u8 hasBlobs, u64 excessBlobGas, u64 updateFraction, u64 blobsMax; u8 isFree.
    fn unpack(reader: &mut Reader<'_>) -> Self {
        let length = usize::from(reader.u8());
        let fork = std::str::from_utf8(reader.take(length)).expect("fork names are text");
        let spec = spec_of(fork);
        let chain_id = reader.u64();
        let number = U256::from(reader.u64());
        let timestamp = U256::from(reader.u64());
        let (gas_limit, basefee, beneficiary, difficulty) = (reader.u64(), reader.u64(), reader.address(), reader.u256());
        let (has_random, random) = (reader.u8() == 1, reader.b256());
        let (has_blobs, excess, update_fraction, blobs_max) = (reader.u8() == 1, reader.u64(), reader.u64(), reader.u64());
        let block = BlockEnv {
            number,
            beneficiary,
            timestamp,
            gas_limit,
            basefee,
            difficulty,
            prevrandao: has_random.then_some(random),
            blob_excess_gas_and_price: has_blobs.then(|| BlobExcessGasAndPrice::new(excess, update_fraction)),
            slot_num: 0,
        };
        let is_free = reader.u8() == 1;
        Self { spec, chain_id, block, blobs_max: has_blobs.then_some(blobs_max), update_fraction, is_free }
    }
}

fn spec_of(fork: &str) -> SpecId {
    match fork {
        "ConstantinopleFix" => SpecId::PETERSBURG,
        "Paris" => SpecId::MERGE,
        name => name.parse().unwrap_or_else(|_| panic!("unknown fork {name}")),
    }
}

/// Executes and commits; gives the result, or why the transaction is not valid.
fn execute(engine: &Engine, case: &Case, raw: &[u8]) -> Result<ExecutionResult, String> {
    let mut tx = transaction(raw)?;
    if case.is_free {
        tx.gas_price = 0;
        tx.gas_priority_fee = tx.gas_priority_fee.map(|_| 0);
    }
    let mut ctx: Ctx = Context::new(View::new(&engine.shared, None, 0, Access::Owned { asks: false }), case.spec);
    ctx.cfg.chain_id = case.chain_id;
    ctx.cfg.blob_base_fee_update_fraction = Some(case.update_fraction);
    ctx.cfg.max_blobs_per_tx = case.blobs_max;
    ctx.block = case.block.clone();
    ctx.tx = tx;
    let mut evm = ctx.build_mainnet();
    let mut handler: MainnetHandler<_, revm::context::result::EVMError<crate::database::NoFunds>, _> = MainnetHandler::default();
    let result: ExecutionResult = handler.run(&mut evm).map_err(|error| error.to_string())?;
    let state = &evm.ctx.journaled_state.inner.state;
    engine.commit(state, &B256::ZERO);
    // Touched accounts: EIP-161 removes the empty ones; before it a touch made an account exist.
    let clears_empty = case.spec.is_enabled_in(SpecId::SPURIOUS_DRAGON);
    let mut after = engine.shared.state.write().expect("no writer panicked");
    for (address, account) in state.iter().filter(|(_, account)| account.is_touched() && !account.is_selfdestructed()) {
        after.import(address).exists = !(clears_empty && account.is_empty());
    }
    Ok(result)
}

fn transaction(raw: &[u8]) -> Result<TxEnv, String> {
    let mut rest = raw;
    let envelope = EthereumTxEnvelope::<TxEip4844>::decode_2718(&mut rest).map_err(|error| error.to_string())?;
    if !rest.is_empty() {
        return Err("bytes after the transaction".into());
    }
    let caller = recover(envelope.signature(), envelope.signature_hash()).ok_or("no key recovers")?;
    let authorizations = envelope.authorization_list().unwrap_or_default();
    Ok(TxEnv {
        tx_type: envelope.tx_type() as u8,
        caller,
        gas_limit: envelope.gas_limit(),
        gas_price: envelope.max_fee_per_gas(),
        kind: envelope.kind(),
        value: envelope.value(),
        data: envelope.input().clone(),
        nonce: envelope.nonce(),
        chain_id: envelope.chain_id(),
        access_list: envelope.access_list().cloned().unwrap_or_default(),
        gas_priority_fee: envelope.max_priority_fee_per_gas(),
        blob_hashes: envelope.blob_versioned_hashes().unwrap_or_default().to_vec(),
        max_fee_per_blob_gas: envelope.max_fee_per_blob_gas().unwrap_or_default(),
        authorization_list: authorizations.iter().map(|signed| Either::Right(recovered(signed))).collect(),
    })
}

/// Recovery by the precompile's own code, which both builds have.
fn recover(signature: &Signature, hash: B256) -> Option<Address> {
    let bytes = signature.as_bytes();
    let compact: &[u8; 64] = bytes[..64].try_into().expect("r and s are 64 bytes");
    let word = crypto().secp256k1_ecrecover(compact, u8::from(signature.v()), &hash.0).ok()?;
    Some(Address::from_word(word.into()))
}

/// EIP-7702: an authorization that does not recover is passed over, not an error.
fn recovered(signed: &SignedAuthorization) -> RecoveredAuthorization {
    let is_canonical = signed.y_parity() <= 1 && signed.s() <= HALF_ORDER;
    let signature = Signature::new(signed.r(), signed.s(), signed.y_parity() == 1);
    let authority = is_canonical.then(|| recover(&signature, signed.signature_hash())).flatten();
    let authority = authority.map_or(RecoveredAuthority::Invalid, RecoveredAuthority::Valid);
    RecoveredAuthorization::new_unchecked(signed.inner().clone(), authority)
}

/// All accounts that exist, in order: account (even an empty one), nonce, slots, code.
fn dump(state: &State, out: &mut Vec<u8>) {
    let present = state.history.present();
    for address in state.index.iter().filter(|address| state.accounts[*address].exists) {
        let account = state.account(address, None);
        cells::put_account(out, address, &account.balance, &account.code_hash());
        cells::put_nonce(out, address, account.nonce, &B256::ZERO);
        for (slot, value) in state.slots(address, present + 1) {
            cells::put_slot(out, address, &slot, &value);
        }
        cells::put_code(out, address, crate::state::code_bytes(&account.code));
    }
}
