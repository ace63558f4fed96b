# In nixpkgs, a key pair that everybody knows.
_: {
  snakeOilPublicKey = "ssh-ed25519 AAAA stand-in";
  snakeOilPrivateKey = "/nix/store/00000000000000000000000000000000-id_ecdsa";
}
