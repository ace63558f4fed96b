# nix.conf, as NixOS renders it from nix.settings: every attribute, also those that are null or empty, and extra- ones behind.
{ lib }:
settings:
let
  render =
    value:
    if value == null then
      ""
    else if lib.isBool value then
      lib.boolToString value
    else
      toString value;
  lines =
    wanted:
    lib.mapAttrsToList (name: value: "${name} = ${render value}\n") (lib.filterAttrs wanted settings);
  isExtra = name: _: lib.hasPrefix "extra-" name;
in
lib.concatStrings (lines (name: value: !isExtra name value) ++ lines isExtra)
