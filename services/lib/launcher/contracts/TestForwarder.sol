// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// Moves its caller's tokens, which stand elsewhere: a transaction over as many partitions as contracts take part.
contract TestForwarder {
    function forward(IERC20 token, address to, uint256 amount) external {
        require(token.transferFrom(msg.sender, to, amount), "not moved");
    }
}
