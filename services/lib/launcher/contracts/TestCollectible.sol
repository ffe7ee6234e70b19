// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {ERC721Holder} from "@openzeppelin/contracts/token/ERC721/utils/ERC721Holder.sol";

contract TestCollectible is ERC721 {
    constructor() ERC721("Collectible", "COL") {}

    function mint(address to, uint256 id) external {
        _mint(to, id);
    }
}

/// Takes collectibles that are sent safely.
contract TestHolder is ERC721Holder {}
