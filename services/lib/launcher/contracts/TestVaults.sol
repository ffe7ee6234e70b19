// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// Two vaults hold a constant total between them.
contract TestVault {
    uint256 public held;

    constructor(uint256 amount) {
        held = amount;
    }

    function put(uint256 amount) external {
        held += amount;
    }

    function moveTo(TestVault other, uint256 amount) external {
        held -= amount;
        other.put(amount);
    }
}

contract TestTotal {
    function total(TestVault one, TestVault other) external view returns (uint256) {
        return one.held() + other.held();
    }
}
