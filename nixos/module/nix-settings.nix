# Typed options for what the patches, and the plugin, add to nix.conf.
{ lib, ... }:
let
  inherit (lib) mkOption types;
  inherit (import ./keys.nix { inherit lib; }) caKey;

  options = {
    trusted-ca-keys = mkOption {
      type = types.listOf caKey;
      default = [ ];
      example = [ "acme-2026-1:s6vXRRc6uE2Kc5kYx1eSgCe7Fz3WwWlyEr0gYQbEZ0c=" ];
      description = ''
        Public keys of certificate authorities (CAs), each `NAME:BASE64` as {command}`nixcert ca init` prints it. Nix accepts
        a path that is signed by a key that one of them has certified, within the limits of the certificate and of the
        host's policy. Name at least two, of which one is kept sealed: then a lost CA can be replaced.

        If there is none, it is not rendered, and no certificate counts. It needs a {option}`nix.package` with nixcert's
        patches, or {option}`security.nixcert.integration` `= "plugin"`.
      '';
    };

    extra-trusted-ca-keys = mkOption {
      type = types.listOf caKey;
      default = [ ];
      description = "More of {option}`nix.settings.trusted-ca-keys`, which count beside those.";
    };

    ca-policy-file = mkOption {
      type = types.nullOr (types.strMatching "/[^\n]*");
      default = null;
      example = "/etc/nixcert/policy.toml";
      description = ''
        The absolute path of the host's policy: what certificates may be good for at most, and where the revocation lists
        are (FORMAT.md section 12). {option}`security.nixcert.enable` sets it. Without one, certificates have no limits but
        their own, and no certificate is revoked.
      '';
    };

    ca-host-name = mkOption {
      type = types.nullOr (types.strMatching "[a-z0-9.-]{1,253}");
      default = null;
      example = "web-1.example.org";
      description = ''
        The name of this host in certificates that are limited to certain hosts, and in closure signatures (FORMAT.md K5).
        Without one, none of these counts. {option}`security.nixcert.enable` sets it to
        {option}`networking.fqdnOrHostName`, unless the host has no name of its own.
      '';
    };

    guarded-profiles = mkOption {
      type = types.listOf (types.strMatching "/[^\n]*");
      default = [ ];
      example = [ "/nix/var/nix/profiles/system" ];
      description = ''
        Profiles that Nix changes only if {option}`nix.settings.profile-guard` agrees, also for root. See
        {option}`security.nixcert.activation.guardSystemProfile`. The plugin does not have it.
      '';
    };

    profile-guard = mkOption {
      type = types.nullOr (types.strMatching "/[^\n]*");
      default = null;
      example = "/run/current-system/sw/bin/nixcert check-closure";
      description = ''
        The command that is asked, with the store path as its last argument, before one of
        {option}`nix.settings.guarded-profiles` is changed: the absolute path of a program, and arguments.
      '';
    };
  };

  isUnset = value: value == null || value == [ ];
in
{
  # nixpkgs renders every attribute, `null` and `[ ]` too, and a Nix without patches refuses settings that it does not know. So
  # what is not set is taken out of the value, and not only left empty.
  options.nix.settings = mkOption {
    type = types.submodule { inherit options; };
    apply =
      settings:
      removeAttrs settings (lib.filter (name: isUnset settings.${name}) (lib.attrNames options));
  };
}
