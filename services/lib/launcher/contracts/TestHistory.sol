// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// Compares what the history account of EIP-2935 says of the last blocks with BLOCKHASH.
contract TestHistory {
    address private constant HISTORY = 0x0000F90827F1C53a10cb7A02335B175320002935;
    uint256 public compared;

    event Parent(uint256 indexed number, bytes32 hash);

    function compare(uint256 count) external {
        uint256 last = block.number < count ? block.number : count;
        for (uint256 back = 1; back <= last; back++) {
            require(hashOf(block.number - back) == blockhash(block.number - back), "they differ");
        }
        compared += last;
        emit Parent(block.number, hashOf(block.number - 1));
    }

    function hashOf(uint256 number) public view returns (bytes32) {
        (bool isThere, bytes memory answer) = HISTORY.staticcall(abi.encode(number));
        require(isThere && answer.length == 32, "no answer");
        return abi.decode(answer, (bytes32));
    }
}
