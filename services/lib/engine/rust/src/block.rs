//! A block's Ethereum header, with real transactions and receipts roots and bloom.
//!
//! Where Ethereum has the state root stands the digest (design, section 6). Fields of withdrawals, blobs and requests are those
//! of an empty block: EIP-4895, EIP-4844, EIP-4788, EIP-7685.

use crate::bloom::Words;
use crate::bytes::{Packed, Reader};
use crate::record::{self, KIND_CALL, LogView, ResultView, Transaction};
use crate::trie::ordered_root;
use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header, constants::EMPTY_WITHDRAWALS};
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U256};
use alloy_rlp::Encodable;

const EXTRA_DATA: &[u8] = b"meridian";

/// Input: u64 number, u64 timestamp, b32 prevrandao, u64 gasLimit, b32 parentHash, b32 digest.
/// Output: b32 hash, b32 transactionsRoot, b32 receiptsRoot, b256 bloom, u64 gasUsed, header.
pub fn build(input: &[u8], transactions: &[u8], results: &[u8]) -> Vec<u8> {
    let transactions: Vec<Transaction<'_>> = record::transactions(transactions).collect();
    let results: Vec<ResultView<'_>> = record::results(results).collect();
    assert!(transactions.len() == results.len(), "every transaction has one result");
    let transactions_root = ordered_root(transactions.len(), |place, out| out.put(transactions[place].raw()));
    let (receipts, gas_used) = receipts(&transactions, &results);
    let mut words = Words::default();
    receipts.iter().for_each(|receipt| words.add(receipt.result.logs(), receipt.has_bloom()));
    let blooms = words.hash();
    let receipts_root = ordered_root(receipts.len(), |place, out| {
        let receipt = &receipts[place];
        receipt.put(out, receipt.has_bloom().then(|| blooms.of(place)).as_ref());
    });
    let logs_bloom = blooms.of_all();
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
    cumulative_gas_used: u64,
    result: ResultView<'a>,
}

impl Receipt<'_> {
    /// That of a call has none: the header's tells its logs.
    fn has_bloom(&self) -> bool {
        self.kind != KIND_CALL
    }

    /// EIP-2718: the type, then `rlp([status, cumulativeGas, bloom, logs])`.
    fn put(&self, out: &mut Vec<u8>, bloom: Option<&Bloom>) {
        let logs = self.result.logs();
        let is_success = self.result.is_success();
        let logs_bytes = logs.clone().map(|log| list(log_payload(&log)).length_with_payload()).sum();
        let bloom_bytes = bloom.map_or(0, Encodable::length);
        let head_bytes = is_success.length() + self.cumulative_gas_used.length() + bloom_bytes;
        if self.kind != 0 {
            out.put_u8(self.kind);
        }
        list(head_bytes + list(logs_bytes).length_with_payload()).encode(out);
        is_success.encode(out);
        self.cumulative_gas_used.encode(out);
        if let Some(bloom) = bloom {
            bloom.encode(out);
        }
        list(logs_bytes).encode(out);
        for log in logs {
            list(log_payload(&log)).encode(out);
            log.address.encode(out);
            list(topics_payload(&log)).encode(out);
            log.topics.chunks_exact(32).for_each(|topic| topic.encode(out));
            log.data.encode(out);
        }
    }
}

fn list(payload_length: usize) -> alloy_rlp::Header {
    alloy_rlp::Header { list: true, payload_length }
}

fn topics_payload(log: &LogView<'_>) -> usize {
    log.topics.len() / 32 * 33
}

/// Bytes of `[address, topics, data]`.
fn log_payload(log: &LogView<'_>) -> usize {
    log.address.length() + list(topics_payload(log)).length_with_payload() + log.data.length()
}

fn receipts<'a>(transactions: &[Transaction<'_>], results: &[ResultView<'a>]) -> (Vec<Receipt<'a>>, u64) {
    let mut cumulative_gas_used = 0;
    let mut receipts = Vec::with_capacity(transactions.len());
    for (transaction, result) in transactions.iter().zip(results) {
        assert!(transaction.index() == result.index(), "transactions and results stand in the same order");
        cumulative_gas_used += result.gas_used();
        receipts.push(Receipt { kind: transaction.kind(), cumulative_gas_used, result: *result });
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
