# The configuration that README.md shows.
{
  lib,
  nix,
  nixcert,
  nixSource ? null,
}:
let
  evaluate = import ./stand-in/evaluate.nix { inherit lib nix nixcert; };

  blocks =
    file:
    map (block: lib.head (lib.splitString "```" block)) (
      lib.tail (lib.splitString "```nix\n" (lib.readFile file))
    );
  module =
    text: import (builtins.toFile "configuration.nix" text) { nixcert.nixosModules.default = { }; };
  withKey = key: lib.replaceString "acme-2026-1:<base64>" "acme-2026-1:${key}";

  key = "Yac1NVo7rttCJ5VCZLzas3A+28Tld5c5cUsfK/BtlzM=";
  text = lib.head (blocks ../../README.md);
  host = {
    networking.hostName = "web-1";
  };
  tenLines = (
    evaluate [
      host
      (module (withKey key text))
    ]
  );
  more = import (builtins.toFile "more.nix" (lib.last (blocks ../README.md)));
in
{
  ten-lines-evaluate = {
    value = {
      inherit (tenLines) problems;
      inherit (tenLines.config) warnings;
      keys = tenLines.config.nix.settings.trusted-ca-keys;
      isPatched = tenLines.config.nix.package ? nixcert;
    };
    expected = {
      problems = [ ];
      warnings = [ ];
      keys = [ "acme-2026-1:${key}" ];
      isPatched = true;
    };
  };
  ten-lines-are-ten = {
    value = lib.length (lib.filter (line: lib.hasInfix "=" line) (lib.splitString "\n" text)) <= 10;
    expected = true;
  };
  ten-lines-build = {
    build = tenLines.config.environment.etc."nixcert/policy.toml".source;
    contains = [ "vouch-for-systems" ];
  };
  with-a-mistyped-key-they-do-not-evaluate = {
    value =
      (evaluate [
        host
        (module (withKey (lib.removeSuffix "=" key) text))
      ]).config.nix.settings.trusted-ca-keys;
    error = "the key 'acme-2026-1' is not whole";
  };
  as-they-stand-they-do-not-evaluate = {
    value =
      (evaluate [
        host
        (module text)
      ]).config.nix.settings.trusted-ca-keys;
    error = "the key 'acme-2026-1' is not whole";
  };
  more-evaluates-too = {
    value =
      (evaluate [
        host
        (module (withKey key text))
        (removeAttrs more [ ])
        { security.nixcert.revocationLists = lib.mkForce [ ]; }
      ]).problems;
    expected = [ ];
  };
}
