// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// OpenZeppelin's ERC20 with a supply that is handed out at once. Only the deployer can mint more holders later.
contract DemoToken is ERC20 {
    address private immutable DEPLOYER = msg.sender;

    constructor(string memory name, string memory symbol, address[] memory holders, uint256 each) ERC20(name, symbol) {
        _mintAll(holders, each);
    }

    function mint(address[] memory holders, uint256 each) external {
        require(msg.sender == DEPLOYER, "only the deployer mints");
        _mintAll(holders, each);
    }

    function _mintAll(address[] memory holders, uint256 each) private {
        for (uint256 i = 0; i < holders.length; i++) {
            _mint(holders[i], each);
        }
    }
}
