# What a certificate does, shown with the real commands, without privileges: demo.sh says what it needs.
{
  lib,
  writeShellApplication,
  coreutils,
  nix,
  nixcert,
}:

writeShellApplication {
  name = "nixcert-demo";
  runtimeInputs = [
    coreutils
    nix
    nixcert
  ];
  text = lib.readFile ./demo.sh;
  meta.description = "Certify a key, sign with it, and see what a host accepts and refuses";
}
