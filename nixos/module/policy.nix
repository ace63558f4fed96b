# The options of the policy: every key that nixcert knows (FORMAT.md section 12). What is `null` is left out of the file. Other
# keys are passed on as they are; nixcert refuses those that it does not understand, when the system is built.
{ lib, format }:
let
  inherit (lib) mkOption types;
  inherit (import ./keys.nix { inherit lib; }) publicKey;

  maybe =
    type: attrs:
    mkOption (
      {
        type = types.nullOr type;
        default = null;
      }
      // attrs
    );

  # Two modules that write one of these would make it wider, or narrower, than either says.
  one = types.unique {
    message = ''
      Lists of the policy are not merged, since that could permit more than each of them says. Write it once, or
      override it with lib.mkForce.
    '';
  };

  # 1 to 16: FORMAT P6.
  votes = types.ints.between 1 16;

  table = options: {
    freeformType = format.type;
    inherit options;
  };

  authorities = maybe (one (types.nonEmptyListOf types.str)) {
    example = [ "acme-2026-1" ];
    description = "The CAs whose certificates give votes, by name. If left out: all that have a table.";
  };

  throughOneIntermediate =
    maybe
      (types.enum [
        "one-vote"
        "separate-votes"
      ])
      {
        description = ''
          Whether all that one intermediate CA certified are one vote (`one-vote`, also if left out), or intermediates are
          trusted to tell people apart (FORMAT.md P6).
        '';
      };

  doubt = types.enum [
    "refuse"
    "accept"
  ];

  ca = table {
    permitted-names = mkOption {
      type = one (types.nonEmptyListOf types.str);
      example = [ "*" ];
      description = ''
        Patterns of the names that this CA's certificates may be good for, as in certificates (FORMAT.md K4): globs such as
        `web-*`, and packages such as `sudo@`. Everything is written out: `[ "*" ]`.
      '';
    };
    excluded-names = maybe (types.listOf types.str) {
      example = [ "glibc@" ];
      description = "Patterns of names that are taken out of those.";
    };
    usages = mkOption {
      type = one (
        types.nonEmptyListOf (
          types.enum [
            "import-paths"
            "import-realisations"
            "vouch-for-systems"
          ]
        )
      );
      example = [ "import-paths" ];
      description = ''
        What this CA's certificates may be good for: to bring store paths, to bring realisations of content-addressed
        derivations, and to vouch for systems that are to be activated.
      '';
    };
    longest-validity = maybe types.str {
      example = "90d";
      description = ''
        How long a leaf may be valid, from its beginning to its end: a number with `h`, `d` or `w` (36h, 90d, 12w). If left
        out: any time.
      '';
    };
    deepest-chain = maybe (types.ints.between 0 3) {
      example = 0;
      description = "The most intermediate CAs between this CA and a leaf. If left out: 3.";
    };
    missing-list = maybe doubt {
      description = ''
        What to make of certificates while the host holds no list that the CA itself signed. If left out: `accept`, or
        `refuse` where there is an `oldest-list`.
      '';
    };
    unreadable-list = maybe doubt {
      description = "What to make of certificates while a list that the host was given cannot be used. If left out: `refuse`.";
    };
    oldest-list = maybe types.str {
      example = "30d";
      description = ''
        How old the CA's own revocation list may be before its certificates count no more, in the form of
        `longest-validity`. Somebody has to bring a new one in time. If left out: any age.
      '';
    };
    audit =
      maybe
        (one (
          types.listOf (
            types.enum [
              "permitted-names"
              "excluded-names"
              "longest-validity"
              "deepest-chain"
              "usages"
            ]
          )
        ))
        {
          description = ''
            Rules that are only being tried out: what they would refuse is accepted, and recorded in the system log
            (FORMAT.md P8). At the activation gate they are in force all the same.
          '';
        };
  };

  threshold = table {
    names = mkOption {
      type = types.nonEmptyListOf types.str;
      example = [ "*" ];
      description = "Patterns of names that need several signatures.";
    };
    votes = mkOption {
      type = votes;
      example = 2;
      description = "How many people have to sign, 1 to 16.";
    };
    inherit authorities;
    through-one-intermediate = throughOneIntermediate;
    audit = maybe types.bool {
      description = "Whether this is only being tried out. If left out: no.";
    };
  };

  activation = table {
    votes = maybe votes {
      example = 2;
      description = ''
        How many people must vouch for a system, 1 to 16. With one, a person who may sign closures and may activate is root
        here. If left out: 1.
      '';
    };
    inherit authorities;
    through-one-intermediate = throughOneIntermediate;
    closure-signature =
      maybe
        (types.enum [
          "required"
          "optional"
        ])
        {
          description = ''
            Whether signatures of each path suffice (`optional`), however old they are: then a system can be set back to any
            old one that was signed so. If left out: `required`.
          '';
        };
    caller-must-sign = maybe types.bool {
      description = ''
        Whether who activates must be one of those who signed: login name and label are compared. If left out: no.
      '';
    };
    vendors = maybe (one (types.listOf publicKey)) {
      example = [ "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=" ];
      description = ''
        Keys that vouch for the paths that they signed, but never for a whole system. With
        {option}`security.nixcert.activation.enable` the default is the key of cache.nixos.org.
      '';
    };
    verify-contents =
      maybe
        (types.enum [
          "never"
          "always"
        ])
        {
          description = ''
            Whether every file of a system is read, and compared with what was signed, before it is activated. If left out:
            `never`.
          '';
        };
    records = maybe (types.strMatching "/.*") {
      description = ''
        The directory of the records of what was activated, an absolute path. If left out: `/var/lib/nixcert/activation`.
      '';
    };
  };
in
table {
  version = mkOption {
    type = types.int;
    default = 1;
    description = "The version of the policy's format.";
  };
  clock =
    maybe
      (types.enum [
        "exact"
        "lower-bound"
      ])
      {
        description = ''
          Whether the clock of this machine is right, or may be behind (`lower-bound`); then the beginning of a certificate's
          validity is not enforced. If left out: `exact`.
        '';
      };
  earliest-time = maybe types.str {
    example = "2026-11-01";
    description = "It is at least that late, whatever the clock says: `2026-11-01`, or `2026-11-01T12:00:00Z`.";
  };
  revocation-lists = maybe (types.strMatching "/.*") {
    default = "/var/lib/nixcert/revocation";
    description = ''
      The directory of the revocation lists that this host holds, an absolute path. It is made when the system is activated.
      While it is missing, no certificate counts. It must outlast restarts and roll-backs: on a host that forgets
      {file}`/var` at each boot, make it persistent. With `null` no list is ever asked.
    '';
  };
  protected-names = maybe (types.listOf types.str) {
    example = [
      "linux@"
      "sudo@"
    ];
    description = ''
      Patterns of names that no certificate is good for: only keys in {option}`nix.settings.trusted-public-keys` may sign them.
    '';
  };
  audit = maybe (types.listOf (types.enum [ "protected-names" ])) {
    description = "The same as the key of this name of a CA, for `protected-names`.";
  };
  ca = mkOption {
    type = types.attrsOf (types.submodule ca);
    default = { };
    description = ''
      What each CA's certificates may be good for here, by its name in {option}`nix.settings.trusted-ca-keys`. A CA without a
      table may do nothing.
    '';
  };
  threshold = maybe (types.listOf (types.submodule threshold)) {
    description = "Names that need the signatures of several people. All that a name meets hold, each for itself.";
  };
  activation = maybe (types.submodule activation) {
    description = ''
      Who may vouch for a system that is to be activated (FORMAT.md section 13). {option}`security.nixcert.activation.enable`
      sets it, with the defaults of each key.
    '';
  };
}
