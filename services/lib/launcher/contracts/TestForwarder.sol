// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// Moves its caller's tokens, which stand elsewhere, and counts here: a transaction that writes on both partitions or on none.
contract TestForwarder {
    uint256 public forwarded;

    function forward(IERC20 token, address to, uint256 amount) external {
        forwarded += amount;
        require(token.transferFrom(msg.sender, to, amount), "not moved");
    }
}
