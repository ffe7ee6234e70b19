//! A block's Ethereum header, with real transactions and receipts roots and bloom.
//!
//! Where Ethereum has the state root stands the digest (design, section 6). Fields of withdrawals, blobs and requests are those
//! of an empty block: EIP-4895, EIP-4844, EIP-4788, EIP-7685.

use crate::bytes::{Packed, Reader};
use crate::record::{self, KIND_CALL, ResultView, Transaction};
use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header, constants::EMPTY_WITHDRAWALS};
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U256};
use alloy_rlp::Encodable;
use alloy_trie::root::ordered_trie_root_with_encoder;

const EXTRA_DATA: &[u8] = b"meridian";

/// Input: u64 number, u64 timestamp, b32 prevrandao, u64 gasLimit, b32 parentHash, b32 digest.
/// Output: b32 hash, b32 transactionsRoot, b32 receiptsRoot, b256 bloom, u64 gasUsed, header.
pub fn build(input: &[u8], transactions: &[u8], results: &[u8]) -> Vec<u8> {
    let transactions: Vec<Transaction<'_>> = record::transactions(transactions).collect();
    let results: Vec<ResultView<'_>> = record::results(results).collect();
    assert!(transactions.len() == results.len(), "every transaction has one result");
    let transactions_root = ordered_trie_root_with_encoder(&transactions, |transaction, out| out.put(transaction.raw()));
    let (receipts, gas_used) = receipts(&transactions, &results);
    let receipts_root = ordered_trie_root_with_encoder(&receipts, |receipt, out| receipt.put(out));
    let logs_bloom = receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | receipt.bloom);
    let header = header(input, transactions_root, receipts_root, logs_bloom, gas_used);
    let mut out = Vec::new();
    out.put(header.hash_slow().as_slice());
    out.put(transactions_root.as_slice());
    out.put(receipts_root.as_slice());
    out.put(logs_bloom.as_slice());
    out.put_u64(gas_used);
    out.put(&alloy_rlp::encode(&header));
    out
}

struct Receipt<'a> {
    kind: u8,
    is_success: bool,
    cumulative_gas_used: u64,
    bloom: Bloom,
    result: ResultView<'a>,
}

impl Receipt<'_> {
    /// EIP-2718: the type, then `rlp([status, cumulativeGas, bloom, logs])`. That of a call has no bloom: the header's tells its logs.
    fn put(&self, out: &mut Vec<u8>) {
        let logs = self.result.logs();
        let has_bloom = self.kind != KIND_CALL;
        let bloom_bytes = if has_bloom { self.bloom.length() } else { 0 };
        let payload_length = self.is_success.length() + self.cumulative_gas_used.length() + bloom_bytes + logs.length();
        if self.kind != 0 {
            out.put_u8(self.kind);
        }
        alloy_rlp::Header { list: true, payload_length }.encode(out);
        self.is_success.encode(out);
        self.cumulative_gas_used.encode(out);
        if has_bloom {
            self.bloom.encode(out);
        }
        logs.encode(out);
    }
}

fn receipts<'a>(transactions: &[Transaction<'_>], results: &[ResultView<'a>]) -> (Vec<Receipt<'a>>, u64) {
    let mut cumulative_gas_used = 0;
    let mut receipts = Vec::with_capacity(transactions.len());
    for (transaction, result) in transactions.iter().zip(results) {
        assert!(transaction.index() == result.index(), "transactions and results stand in the same order");
        cumulative_gas_used += result.gas_used();
        receipts.push(Receipt {
            kind: transaction.kind(),
            is_success: result.is_success(),
            cumulative_gas_used,
            bloom: result.logs().iter().collect(),
            result: *result,
        });
    }
    (receipts, cumulative_gas_used)
}

fn header(input: &[u8], transactions_root: B256, receipts_root: B256, logs_bloom: Bloom, gas_used: u64) -> Header {
    let mut reader = Reader::new(input);
    let (number, timestamp, mix_hash, gas_limit) = (reader.u64(), reader.u64(), reader.b256(), reader.u64());
    Header {
        parent_hash: reader.b256(),
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: Address::ZERO,
        state_root: reader.b256(),
        transactions_root,
        receipts_root,
        logs_bloom,
        difficulty: U256::ZERO,
        number,
        gas_limit,
        gas_used,
        timestamp,
        extra_data: Bytes::from_static(EXTRA_DATA),
        mix_hash,
        nonce: B64::ZERO,
        base_fee_per_gas: Some(0),
        withdrawals_root: Some(EMPTY_WITHDRAWALS),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        ..Header::default()
    }
}
