# Cases of the NixOS module, in pairs that differ in one fact.
{
  lib,
  nix,
  nixcert,
  nixSource ? null,
}:
let
  inherit (lib) mkForce recursiveUpdate;

  evaluate = import ./stand-in/evaluate.nix { inherit lib nix nixcert; };
  pkgs = (evaluate [ ]).pkgs;
  render = import ./stand-in/nix-conf.nix { inherit lib; };

  vector = lib.importJSON ../../tests/vectors/lists/accept-every-extent.json;
  list = pkgs.runCommand "acme.list" { text = vector.list; } ''printf %s "$text" | base64 -d > $out'';
  vectorKey = lib.head vector.trusted_ca_keys;
  acme = "acme-1:Yac1NVo7rttCJ5VCZLzas3A+28Tld5c5cUsfK/BtlzM=";
  other = "acme-2:Ggz6Khr7xmcmUwlH1psG6M5GVbyELEG7vY7vnxd2Sjw=";

  # Ten lines of configuration.
  host = {
    networking.hostName = "web-1";
    nix.settings.trusted-ca-keys = [ acme ];
    security.nixcert.enable = true;
    security.nixcert.settings.ca.acme-1 = {
      permitted-names = [ "*" ];
      usages = [ "import-paths" ];
      longest-validity = "90d";
    };
  };

  # With the gate.
  gate = recursiveUpdate host {
    security.nixcert.settings.ca.acme-1.usages = [
      "import-paths"
      "vouch-for-systems"
    ];
    security.nixcert.activation.enable = true;
    security.nixcert.activation.group = "deployers";
    users.groups.deployers = { };
  };

  # Without security.nixcert: a key, and a package that knows it.
  keysOnly = {
    nix.settings.trusted-ca-keys = [ acme ];
    nix.package = pkgs.nixcertVersions.stable;
  };

  ofKeys =
    keys: (evaluate { nix.settings.trusted-ca-keys = keys; }).config.nix.settings.trusted-ca-keys;
  accepts = value: expected: { inherit value expected; };
  refuses = value: error: { inherit value error; };

  inOneLine =
    text:
    lib.concatStringsSep " " (lib.filter (line: line != "") (map lib.trim (lib.splitString "\n" text)));

  problems = modules: (evaluate modules).problems;
  warnings = modules: (evaluate modules).config.warnings;
  with' = base: change: [
    base
    change
  ];

  # Two cases: as it is, there is nothing to say; with a change, just this.
  pair = of: name: base: change: message: {
    "${name}" = accepts (of (with' base change)) [ (inOneLine message) ];
    "${name}-else-nothing" = accepts (of base) [ ];
  };
  asserted = pair problems;
  warned = pair warnings;
  merge = lib.foldl' (all: one: all // one) { };

  policyOf = modules: (evaluate modules).config.environment.etc."nixcert/policy.toml".source;
  builds = build: contains: lacks: { inherit build contains lacks; };
  doesNotBuild = build: error: { inherit build error; };

  serviceOf = name: modules: (evaluate modules).config.systemd.services.${name};

  # What Nix says of a nix.conf, as NixOS asks it when the system is built.
  shown =
    settings:
    pkgs.runCommand "shown" { conf = render settings; } ''
      printf %s "$conf" > nix.conf
      export HOME=$PWD NIX_CONF_DIR=$PWD NIX_STATE_DIR=$PWD/state
      ${nix}/bin/nix config show --option experimental-features nix-command > $out 2>&1
    '';

  # The service's own script, on a host that takes the lists of a CA of its own: what there is to take is made by `bring`.
  installed =
    bring:
    let
      configuration = withLists [ list ];
      here =
        lib.replaceStrings
          [
            "${(evaluate configuration).config.security.nixcert.installedLists}"
            "--keep-newer"
          ]
          [
            "lists"
            "--keep-newer --directory held --trusted-ca-keys $(cat ca/ca.pub)"
          ]
          (serviceOf "nixcert-revocation-lists" configuration).script;
    in
    pkgs.runCommand "installed" { inherit here; } ''
      umask 022
      export HOME=$PWD PATH=${nixcert}/bin:$PATH
      mkdir lists
      nixcert ca init ca --name acme-1 --unencrypted
      nixcert revoke --ca ca --first --label mallory --retired --yes --output first.list
      nixcert revoke --ca ca --label trent --retired --yes --output second.list
      ${bring}
      sh -euc "$here" > said 2>&1 || { cat said; exit 1; }
      cp said $out
    '';

  withLists =
    lists:
    with' host {
      nix.settings.trusted-ca-keys = mkForce [ vectorKey ];
      security.nixcert.settings.ca = mkForce {
        acme-2026-1 = {
          permitted-names = [ "*" ];
          usages = [ "import-paths" ];
        };
      };
      security.nixcert.revocationLists = lists;
    };

  plugin = with' host { security.nixcert.integration = "plugin"; };

  keyCases = {
    key-is-accepted = accepts (ofKeys [ acme ]) [ acme ];
    same-key-twice-is-one = accepts (problems (
      with' keysOnly { nix.settings.extra-trusted-ca-keys = [ acme ]; }
    )) [ ];
    mistyped-key-is-refused =
      refuses (ofKeys [ "acme-1:Yac1NVo7rttCJ5VCZLzas3A+28Tld5c5cUsfK" ])
        "that is no public key: the key 'acme-1' is not whole: what is behind the colon is not base64 of 44 characters.";
    key-of-31-bytes-is-refused = refuses (ofKeys [
      "acme-1:Yac1NVo7rttCJ5VCZLzas3A+28Tld5c5cUsfK/Btlw=="
    ]) "the key 'acme-1' is 31 bytes long, and not 32: copy it again.";
    key-with-idle-bits-is-refused = refuses (ofKeys [
      "acme-1:Yac1NVo7rttCJ5VCZLzas3A+28Tld5c5cUsfK/BtlzN="
    ]) "the key 'acme-1' is not written as 'nixcert ca init' prints it";
    key-without-a-name-is-refused = refuses (ofKeys [
      "Yac1NVo7rttCJ5VCZLzas3A+28Tld5c5cUsfK/BtlzM="
    ]) "there is no ':' in it: a key is NAME:BASE64, as 'nixcert ca init' prints it.";
    key-with-an-empty-name-is-refused = refuses (ofKeys [
      ":Yac1NVo7rttCJ5VCZLzas3A+28Tld5c5cUsfK/BtlzM="
    ]) "it has no name: a key is NAME:BASE64";
    key-with-a-certificate-is-refused = refuses (ofKeys [
      "alice.nixcert1.aa:Yac1NVo7rttCJ5VCZLzas3A+28Tld5c5cUsfK/BtlzM="
    ]) "has a certificate in its name: a CA's has none.";
    key-with-odd-name-is-refused = refuses (ofKeys [
      "acme/1:Yac1NVo7rttCJ5VCZLzas3A+28Tld5c5cUsfK/BtlzM="
    ]) "the key 'acme/1' has a name with other characters than letters";
    secret-key-is-refused-and-not-shown =
      refuses
        (ofKeys [
          "acme-1:${lib.concatStrings (lib.genList (_: "A") 86)}=="
        ])
        "the key 'acme-1' is a secret key, and is now in the Nix store, where all can read it: give it up, and make a new one.";
    two-keys-in-one-are-refused = refuses (ofKeys [
      "${acme} ${other}"
    ]) "it has white space in it: write each key as a list item of its own.";
    key-that-is-no-list-is-refused = refuses (ofKeys acme) "is not of type `list of public key of a CA (NAME:BASE64)'";
    vendor-is-checked-too = refuses (policyOf (
      with' gate { security.nixcert.settings.activation.vendors = [ "cache.nixos.org-1:AAAA" ]; }
    )) "the key 'cache.nixos.org-1' is 3 bytes long, and not 32: copy it again.";
    host-name-in-capitals-is-refused =
      refuses (evaluate { nix.settings.ca-host-name = "Web-1"; }).config.nix.settings.ca-host-name
        "is not of type `null or string matching the pattern [a-z0-9.-]{1,253}'";
    host-name-is-accepted =
      accepts (evaluate { nix.settings.ca-host-name = "web-1"; }).config.nix.settings.ca-host-name
        "web-1";
  };

  assertions = merge [
    (asserted "two-keys-of-one-name" keysOnly
      {
        nix.settings.extra-trusted-ca-keys = [ "acme-1:Ggz6Khr7xmcmUwlH1psG6M5GVbyELEG7vY7vnxd2Sjw=" ];
      }
      ''
        nix.settings.trusted-ca-keys has two keys of the name 'acme-1': then no certificate of any CA counts. Take out the
        wrong one, or give the new key a name of its own, such as acme-2026-2.
      ''
    )
    (asserted "one-key-of-two-names" keysOnly
      {
        nix.settings.extra-trusted-ca-keys = [ "acme-9:Yac1NVo7rttCJ5VCZLzas3A+28Tld5c5cUsfK/BtlzM=" ];
      }
      ''
        nix.settings.trusted-ca-keys has one key under several names ('acme-1', 'acme-9'): then no certificate of any CA
        counts. Leave the name that the CA's keeper gave it.
      ''
    )
    (asserted "no-signatures-required" keysOnly { nix.settings.require-sigs = false; } ''
      nix.settings.require-sigs is false, so Nix asks for no signature, and nix.settings.trusted-ca-keys protects nothing.
      Set it to true, or remove it.
    '')
    (asserted "stock-nix-with-keys" keysOnly { nix.package = mkForce pkgs.nix; } ''
      nix.settings has trusted-ca-keys, and nix.package (Nix 2.34.8) has not nixcert's patches: it does not know these
      settings. Set security.nixcert.enable, or nix.package to one of pkgs.nixcertVersions; or leave Nix as it is, with
      security.nixcert.integration = "plugin".
    '')
    (asserted "stock-nix-though-enabled" host { nix.package = pkgs.nix; } ''
      nix.settings has trusted-ca-keys, ca-policy-file, ca-host-name, and nix.package (Nix 2.34.8) has not nixcert's
      patches: it does not know these settings. Take out nix.package, or set it to pkgs.nixcertVersions.withCertificates of
      its nixComponents; or leave Nix as it is, with security.nixcert.integration = "plugin".
    '')
    (asserted "stock-nix-with-guards" { }
      {
        nix.settings.guarded-profiles = [ "/nix/var/nix/profiles/system" ];
        nix.settings.profile-guard = "/run/current-system/sw/bin/nixcert check-closure";
      }
      ''
        nix.settings has guarded-profiles, profile-guard, and nix.package (Nix 2.34.8) has not nixcert's patches: it does not know these
        settings, and the plugin does not have them. Take them out, or set nix.package to one of pkgs.nixcertVersions.
      ''
    )
    (asserted "guarded-profile-without-a-guard" { nix.package = pkgs.nixcertVersions.stable; }
      {
        nix.settings.guarded-profiles = [ "/nix/var/nix/profiles/system" ];
      }
      ''
        nix.settings has guarded-profiles alone, so no guarded profile could be changed any more, or none is guarded. Set
        guarded-profiles and profile-guard, or neither.
      ''
    )
    (asserted "nix-that-is-off" host { nix.enable = false; } ''
      security.nixcert.enable is set, and nix.enable is false: NixOS writes no nix.conf then, so no CA is trusted and no
      certificate counts. Set nix.enable, or remove it.
    '')
    (asserted "policy-file-of-ones-own" host { nix.settings.ca-policy-file = mkForce "/etc/my.toml"; }
      ''
        nix.settings.ca-policy-file is not the policy that security.nixcert.settings makes, so that would not be in force.
        Remove the line, or switch security.nixcert.enable off.
      ''
    )
    (asserted "no-policy-file" host { nix.settings.ca-policy-file = mkForce null; } ''
      nix.settings.ca-policy-file is not the policy that security.nixcert.settings makes, so that would not be in force.
      Remove the line, or switch security.nixcert.enable off.
    '')
    (asserted "sudo-for-wheel-alone" gate { security.sudo.execWheelOnly = true; } ''
      security.sudo.execWheelOnly is set, so members of 'deployers' cannot start sudo, and none could activate anything.
      Remove it: the rule gives them nixcert activate, repair and revocation install alone.
    '')
    (asserted "old-sudo-rs" (with' gate { security.sudo-rs.enable = true; })
      {
        security.sudo-rs.package = {
          version = "0.2.12";
        };
      }
      ''
        sudo-rs before 0.2.13 takes 'nixcert activate *' by the letter, so nobody of 'deployers' could activate anything.
        Use security.sudo, or a newer sudo-rs.
      ''
    )
    {
      lists-of-the-policy-do-not-merge = refuses (policyOf [
        host
        { security.nixcert.settings.ca.acme-1.permitted-names = [ "web-*" ]; }
      ]) "Lists of the policy are not merged";
      usages-do-not-merge = refuses (policyOf [
        host
        { security.nixcert.settings.ca.acme-1.usages = [ "vouch-for-systems" ]; }
      ]) "Lists of the policy are not merged";
      setting-with-a-line-of-its-own-is-refused =
        refuses
          (evaluate {
            nix.settings.profile-guard = "/x\nrequire-sigs = false";
          }).config.nix.settings.profile-guard
          "profile-guard";
    }
    (asserted "plugin-for-a-patched-nix" plugin { nix.package = pkgs.nixcertVersions.stable; } ''
      security.nixcert.integration is "plugin", and nix.package (Nix 2.34.8+11) has nixcert's patches, which do the same.
      Remove one of the two lines.
    '')
    (asserted "plugin-for-a-static-nix" plugin { nix.package = pkgs.nixVersions.static; } ''
      security.nixcert.integration is "plugin", and nix.package (Nix 2.34.8) is not built of components with shared
      libraries (it has no 'libs.nix-store'), so it can load none. Set nix.package to one of pkgs.nixVersions, or use the
      patches.
    '')
    (asserted "plugin-for-an-unknown-release" plugin { nix.package = pkgs.nixVersions.nix_2_28; } ''
      security.nixcert.integration is "plugin", and there is none for Nix 2.28.5, but for 2.26, 2.31, 2.34. Set nix.package
      to one of these, or use the patches.
    '')
    (asserted "guard-of-the-profile-with-the-gate-off" host
      {
        security.nixcert.activation.guardSystemProfile = true;
      }
      ''
        security.nixcert.activation.guardSystemProfile is set, and the activation gate is off, so it would refuse every
        system. Set security.nixcert.activation.enable.
      ''
    )
    (asserted "no-ca-is-trusted" host { nix.settings.trusted-ca-keys = mkForce [ ]; } ''
      security.nixcert.enable is set, and no CA is trusted, so no certificate counts. Put the line that 'nixcert ca init'
      printed into nix.settings.trusted-ca-keys.
    '')
    (asserted "no-ca-has-a-table" host { security.nixcert.settings.ca = mkForce { }; } ''
      security.nixcert.settings.ca is empty, so the policy lets no CA do anything. Write security.nixcert.settings.ca.NAME
      for 'acme-1', with permitted-names and usages.
    '')
    (asserted "lists-and-no-place-for-them" (withLists [ list ])
      {
        security.nixcert.settings.revocation-lists = null;
      }
      ''
        security.nixcert.revocationLists has lists, and security.nixcert.settings.revocation-lists, which says where this host
        holds them, is null. Remove that line.
      ''
    )
    (asserted "drop-in-and-no-place-for-lists"
      (with' host {
        security.nixcert.dropIn.enable = true;
        security.nixcert.dropIn.group = "users";
      })
      {
        security.nixcert.settings.revocation-lists = null;
      }
      ''
        security.nixcert.dropIn.enable is set, and security.nixcert.settings.revocation-lists, which says where this host
        holds its lists, is null. Remove that line.
      ''
    )
    (asserted "drop-in-for-nobody" host { security.nixcert.dropIn.enable = true; } ''
      security.nixcert.dropIn.enable is set, and nobody may put lists there. Set security.nixcert.dropIn.group, to "users"
      say.
    '')
    (asserted "group-with-the-gate-off" host { security.nixcert.activation.group = "deployers"; } ''
      security.nixcert.activation.group is set, and the activation gate is off, so nobody of 'deployers' may activate
      anything. Set security.nixcert.activation.enable, or remove the group.
    '')
    (asserted "gate-on-a-host-without-a-name" gate { networking.hostName = mkForce "nixos"; } ''
      The activation gate needs the name of this host, since people vouch for systems of certain hosts, and it has none
      ('nixos' is none that nixcert could use). Set networking.hostName, or nix.settings.ca-host-name.
    '')
    (asserted "gate-that-nobody-could-open" gate
      {
        security.nixcert.settings.ca.acme-1.usages = mkForce [ "import-paths" ];
      }
      ''
        The activation gate is on, and no CA may certify people who vouch for systems, so nothing could ever be activated. Add
        "vouch-for-systems" to security.nixcert.settings.ca.NAME.usages of one.
      ''
    )
    (asserted "verifying-with-the-gate-off" host { security.nixcert.verifySystem.enable = true; } ''
      security.nixcert.verifySystem.enable asks the activation gate, and that is off, so it would fail each time. Set
      security.nixcert.activation.enable.
    '')
    (asserted "gate-without-sudo" gate { security.sudo.enable = false; } ''
      security.nixcert.activation.group is set, and there is no sudo by which its members could reach root's gate. Set
      security.sudo.enable, or remove the group.
    '')
    {
      guard-of-the-profile-with-the-plugin =
        accepts
          (problems [
            gate
            {
              security.nixcert.integration = "plugin";
              security.nixcert.activation.guardSystemProfile = true;
            }
          ])
          (
            map inOneLine [
              ''
                nix.settings has guarded-profiles, profile-guard, and nix.package (Nix 2.34.8) has not nixcert's patches: it
                does not know these settings, and the plugin does not have them. Take them out, or set nix.package to one of
                pkgs.nixcertVersions.
              ''
              ''
                security.nixcert.activation.guardSystemProfile needs the patches: with security.nixcert.integration = "plugin"
                Nix does not ask before a profile is changed. Switch it off, or use the patches.
              ''
            ]
          );
      guard-of-the-profile-with-the-patches = accepts (problems (
        with' gate { security.nixcert.activation.guardSystemProfile = true; }
      )) [ ];
      stock-nix-with-the-plugin = accepts (problems plugin) [ ];
    }
  ];

  deployer = name: {
    users.users.${name}.extraGroups = [ "deployers" ];
  };

  warningCases = merge [
    (warned "trusted-users" keysOnly
      {
        nix.settings.trusted-users = [
          "@wheel"
          "alice"
        ];
      }
      ''
        nix.settings.trusted-users has @wheel, alice: they add any path to the store, without a signature that anybody checks,
        so nix.settings.trusted-ca-keys does not bind them. Leave root alone there, and give them certificates.
      ''
    )
    (warned "extra-trusted-users" keysOnly { nix.settings.extra-trusted-users = [ "alice" ]; } ''
      nix.settings.trusted-users has alice: they add any path to the store, without a signature that anybody checks, so
      nix.settings.trusted-ca-keys does not bind them. Leave root alone there, and give them certificates.
    '')
    (warned "ssh-serve-trusted" (with' keysOnly { nix.sshServe.enable = true; })
      { nix.sshServe.trusted = true; }
      ''
        nix.sshServe.trusted is set: who may log in as nix-ssh adds any path to the store, without a signature that anybody
        checks. Set it to false, and give these people certificates.
      ''
    )
    (warned "trusted-substituter"
      (with' keysOnly { nix.settings.substituters = [ "https://cache.example.org?priority=1" ]; })
      { nix.settings.substituters = [ "http://lan?priority=1&trusted=1" ]; }
      ''
        nix.settings has stores that Nix believes without signatures (http://lan?priority=1&trusted=1): whoever runs them is
        bound by no certificate. Take 'trusted' out of their addresses, and sign what they have.
      ''
    )
    (warned "trusted-extra-substituter" keysOnly
      {
        nix.settings.extra-substituters = [ "ssh-ng://builder?trusted=true" ];
      }
      ''
        nix.settings has stores that Nix believes without signatures (ssh-ng://builder?trusted=true): whoever runs them is
        bound by no certificate. Take 'trusted' out of their addresses, and sign what they have.
      ''
    )
    (warned "signing-host" keysOnly { nix.settings.secret-key-files = [ "/etc/nix/secret" ]; } ''
      nix.settings.secret-key-files is set on a host that imports by certificates: it signs what it builds of other people's
      inputs, and others trust that. Build for others on a machine that does not import, or sign with a person's key.
    '')
    (warned "settings-as-text"
      (with' keysOnly { nix.extraOptions = "keep-outputs = true\n# trusted-users = a\n"; })
      { nix.extraOptions = "trusted-users = root alice\n  extra-trusted-ca-keys = a:b\n"; }
      "nix.extraOptions sets trusted-ca-keys, trusted-users, which is not checked there. Use nix.settings."
    )
    (warned "ca-without-a-table" host { nix.settings.trusted-ca-keys = [ other ]; } ''
      nix.settings.trusted-ca-keys has 'acme-2', and security.nixcert.settings.ca has no table of that name: none of that
      CA's certificates counts. Write one, or take out the key.
    '')
    (warned "host-without-a-name" host { networking.hostName = mkForce "nixos"; } ''
      This host has no name in certificates, so those that are limited to certain hosts do not count. Set
      networking.hostName, or nix.settings.ca-host-name.
    '')
    (warned "deployers-with-all-of-sudo" gate
      {
        security.sudo.extraRules = [
          {
            groups = [ "deployers" ];
            commands = [ "ALL" ];
          }
        ];
      }
      ''
        %deployers may run everything by sudo, so for them the activation gate is a guard rail, and no wall. Use a group of
        people for security.nixcert.activation.group who may run nothing else as root.
      ''
    )
    (warned "wheel-as-deployers" gate { security.nixcert.activation.group = mkForce "wheel"; } ''
      %wheel may run everything by sudo, so for them the activation gate is a guard rail, and no wall. Use a group of people
      for security.nixcert.activation.group who may run nothing else as root.
    '')
    (warned "deployer-in-wheel" (with' gate (deployer "alice"))
      { users.groups.wheel.members = [ "alice" ]; }
      ''
        alice may run everything by sudo, so for them the activation gate is a guard rail, and no wall. Use a group of people
        for security.nixcert.activation.group who may run nothing else as root.
      ''
    )
    (warned "deployers-that-nobody-declared" gate
      { security.nixcert.activation.group = mkForce "staff"; }
      ''
        There is no group 'staff' (security.nixcert.activation.group) in users.groups. If no directory has it either, nobody
        may activate.
      ''
    )
    (warned "group-of-the-drop-in-that-is-not-there" dropIn { security.nixcert.dropIn.group = "lists"; }
      ''
        There is no group 'lists' (security.nixcert.dropIn.group) in users.groups. If no directory has it either, nobody may
        bring a list.
      ''
    )
    {
      deployer-who-is-trusted =
        accepts
          (warnings [
            gate
            (deployer "alice")
            { nix.settings.trusted-users = [ "alice" ]; }
          ])
          (
            map inOneLine [
              ''
                nix.settings.trusted-users has alice: they add any path to the store, without a signature that anybody checks,
                so nix.settings.trusted-ca-keys does not bind them. Leave root alone there, and give them certificates.
              ''
              ''
                alice may activate systems (security.nixcert.activation.group), and add any path without a signature
                (nix.settings.trusted-users). That gets nobody past the gate, but leaves it alone before the machine: take them
                out of the trusted users.
              ''
            ]
          );
      deployer-who-is-not-trusted = accepts (warnings (with' gate (deployer "alice"))) [ ];
    }
  ];

  off = evaluate { networking.hostName = "web-1"; };

  rendering = {
    off-renders-nothing = accepts (render off.config.nix.settings) ''
      require-sigs = true
      trusted-public-keys = cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=
      trusted-users = root
    '';
    off-adds-nothing =
      accepts
        {
          inherit (off.config) systemd environment warnings;
          package = off.config.nix.package.name;
          problems = off.problems;
          sudo = lib.length off.config.security.sudo.extraRules;
        }
        {
          systemd = {
            paths = { };
            services = { };
            timers = { };
            tmpfiles.settings = { };
          };
          environment = {
            etc = { };
            systemPackages = [ ];
          };
          warnings = [ ];
          package = "nix-2.34.8";
          problems = [ ];
          sudo = 1;
        };
    unset-lists-are-not-rendered = accepts (render
      (evaluate { nix.settings.trusted-ca-keys = [ ]; }).config.nix.settings
    ) (render off.config.nix.settings);
    ten-lines-render-this = accepts (render (evaluate host).config.nix.settings) ''
      ca-host-name = web-1
      ca-policy-file = /etc/nixcert/policy.toml
      require-sigs = true
      trusted-ca-keys = ${acme}
      trusted-public-keys = cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=
      trusted-users = root
    '';
    ten-lines-take-the-patched-nix = accepts (evaluate host).config.nix.package.name "nix-2.34.8+11";
    another-nix-may-be-chosen =
      accepts (evaluate (with' host { nix.package = pkgs.nix; })).config.nix.package.name
        "nix-2.34.8";
    ten-lines-have-no-problem =
      accepts
        {
          problems = problems host;
          warnings = warnings host;
        }
        {
          problems = [ ];
          warnings = [ ];
        };
    full-name-is-taken =
      accepts
        (evaluate (with' host { networking.fqdnOrHostName = "web-1.example.org"; }))
        .config.nix.settings.ca-host-name
        "web-1.example.org";
    plugin-renders-this =
      accepts
        {
          inherit ((evaluate plugin).config.nix.settings) plugin-files;
          inherit ((evaluate plugin).config.systemd.services) nix-daemon;
          package = (evaluate plugin).config.nix.package.name;
        }
        {
          plugin-files = [
            "/nix/store/00000000000000000000000000000000-nixcert-plugin-2.34.8/lib/nixcert/libnixcert-plugin.so"
          ];
          nix-daemon.environment.NIX_REMOTE = "nixcert-plugin://";
          package = "nix-2.34.8";
        };
    nix-understands-what-is-rendered =
      builds
        (shown
          (evaluate (
            with' gate {
              security.nixcert.activation.guardSystemProfile = true;
              nix.settings.trusted-ca-keys = [ other ];
            }
          )).config.nix.settings
        )
        [
          "trusted-ca-keys = ${acme} ${other}\n"
          "ca-host-name = web-1\n"
          "ca-policy-file = /etc/nixcert/policy.toml\n"
          "guarded-profiles = /nix/var/nix/profiles/system\n"
          "profile-guard = ${nixcert}/bin/nixcert check-closure\n"
        ]
        [
          "warning"
          "error"
        ];
    nix-says-what-it-does-not-understand = builds (shown
      (evaluate (with' host { nix.settings.trusted-ca-kyes = [ other ]; })).config.nix.settings
    ) [ "unknown setting 'trusted-ca-kyes'" ] [ ];
    nix-has-no-certificates-where-off =
      builds (shown off.config.nix.settings)
        [ "trusted-ca-keys = \n" ]
        [ "warning" ];
  };

  policies = {
    policy-is-this-file =
      builds (policyOf gate)
        [
          ''
            revocation-lists = "/var/lib/nixcert/revocation"
            version = 1

            [activation]
            vendors = ["cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY="]

            [ca]

            [ca.acme-1]
            longest-validity = "90d"
            permitted-names = ["*"]
            usages = ["import-paths", "vouch-for-systems"]
          ''
        ]
        [ "null" ];
    policy-without-the-gate-has-no-table-of-it =
      builds (policyOf host)
        [ "[ca.acme-1]" ]
        [ "activation" ];
    other-vendors-replace-the-default = builds (policyOf (
      with' gate { security.nixcert.settings.activation.vendors = [ other ]; }
    )) [ "vendors = [\"${other}\"]" ] [ "cache.nixos.org" ];
    every-key-is-understood = builds (policyOf (
      with' gate {
        security.nixcert.settings = {
          clock = "lower-bound";
          earliest-time = "2026-11-01";
          protected-names = [ "linux@" ];
          audit = [ "protected-names" ];
          ca.acme-1 = {
            excluded-names = [ "glibc@" ];
            deepest-chain = 1;
            missing-list = "refuse";
            unreadable-list = "refuse";
            oldest-list = "30d";
            audit = [ "deepest-chain" ];
          };
          threshold = [
            {
              names = [ "*" ];
              votes = 2;
              authorities = [ "acme-1" ];
              through-one-intermediate = "separate-votes";
              audit = true;
            }
          ];
          activation = {
            votes = 2;
            authorities = [ "acme-1" ];
            through-one-intermediate = "one-vote";
            closure-signature = "required";
            caller-must-sign = true;
            verify-contents = "always";
            records = "/var/lib/nixcert/activation";
          };
        };
      }
    )) [ "[[threshold]]\naudit = true\n" ] [ ];
    unknown-key-does-not-build = doesNotBuild (policyOf (
      with' host { security.nixcert.settings.ca.acme-1.longest-valdity = "90d"; }
    )) "unknown field `longest-valdity`";
    wrong-pattern-does-not-build = doesNotBuild (policyOf (
      with' host { security.nixcert.settings.ca.acme-1.permitted-names = mkForce [ "linux-6@" ]; }
    )) "'linux-6@' is not a name pattern";
    unknown-ca-does-not-build = doesNotBuild (policyOf (
      with' host {
        security.nixcert.settings.ca.acme-2 = {
          permitted-names = [ "*" ];
          usages = [ "import-paths" ];
        };
      }
    )) "no CA of the name 'acme-2' is among trusted-ca-keys (is it misspelt?)";
    known-second-ca-builds = builds (policyOf (
      with' host {
        nix.settings.trusted-ca-keys = [ other ];
        security.nixcert.settings.ca.acme-2 = {
          permitted-names = [ "*" ];
          usages = [ "import-paths" ];
        };
      }
    )) [ "[ca.acme-2]" ] [ ];
    weak-key-does-not-build = doesNotBuild (policyOf (
      with' host {
        nix.settings.trusted-ca-keys = mkForce [ "acme-1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" ];
      }
    )) "this is not a usable Ed25519 public key";
    wrong-usage-is-refused = refuses (policyOf (
      with' host { security.nixcert.settings.ca.acme-1.usages = mkForce [ "revoke" ]; }
    )) "is not of type `one of \"import-paths\", \"import-realisations\", \"vouch-for-systems\"'";
    missing-usages-are-refused = refuses (policyOf (
      with' host {
        security.nixcert.settings.ca = mkForce { acme-1.permitted-names = [ "*" ]; };
      }
    )) "option `security.nixcert.settings.ca.acme-1.usages' was accessed but has no value defined";
    no-votes-are-refused = refuses (policyOf (
      with' gate { security.nixcert.settings.activation.votes = 0; }
    )) "is not of type `null or integer between 1 and 16 (both inclusive)'";
    other-policy-file-is-refused =
      refuses
        (evaluate (with' host { nix.settings.ca-policy-file = "/etc/other.toml"; }))
        .config.nix.settings.ca-policy-file
        "has conflicting definition values";
    cross-built-policy-is-not-checked = builds (policyOf (
      with' host {
        _module.args.pkgs = mkForce (
          pkgs
          // {
            stdenv = pkgs.stdenv // {
              buildPlatform.canExecute = _: false;
            };
          }
        );
        security.nixcert.settings.ca.acme-1.longest-valdity = "90d";
      }
    )) [ "longest-valdity" ] [ ];
  };

  lists = {
    list-is-taken-up = builds (installed "cp first.list lists") [ "installed:" ] [ ];
    list-that-is-held-is-no-fault =
      builds (installed "cp first.list lists/1.list; cp first.list lists/2.list")
        [
          "held already:"
        ]
        [ ];
    list-older-than-held-is-no-fault =
      builds (installed "cp second.list lists/1.list; cp first.list lists/2.list")
        [
          "passed over: a newer one of its signer is held"
        ]
        [ ];
    list-that-is-refused-fails = doesNotBuild (installed ''
      cp first.list lists/1.list
      cp ${list} lists/2.list
    '') "was not taken up (untrusted-ca)";
    one-refused-beside-an-older-one-fails = doesNotBuild (installed ''
      cp second.list lists/1.list
      cp first.list lists/2.list
      cp ${list} lists/3.list
    '') "was not taken up (untrusted-ca)";
    list-of-the-ca-builds = builds (pkgs.runCommand "lists" { } ''
      ls ${(evaluate (withLists [ list ])).config.security.nixcert.installedLists} > $out
    '') [ "1.list" ] [ "2.list" ];
    list-of-another-ca-does-not-build =
      doesNotBuild
        (evaluate (with' host { security.nixcert.revocationLists = [ list ]; }))
        .config.security.nixcert.installedLists
        "refused (untrusted-ca)";
    what-is-no-list-does-not-build =
      doesNotBuild
        (evaluate (withLists [ (pkgs.writeText "acme.list" "no list") ]))
        .config.security.nixcert.installedLists
        "refused (unknown-version)";
    no-lists-no-service = accepts (
      (evaluate host).config.systemd.services ? nixcert-revocation-lists
    ) false;
    lists-come-before-the-daemon =
      let
        service = serviceOf "nixcert-revocation-lists" (withLists [ list ]);
      in
      accepts
        {
          inherit (service) before wantedBy;
          inherit (service.serviceConfig)
            Type
            RemainAfterExit
            ProtectSystem
            ReadWritePaths
            ;
        }
        {
          before = [ "nix-daemon.service" ];
          wantedBy = [
            "multi-user.target"
            "nix-daemon.service"
          ];
          Type = "oneshot";
          RemainAfterExit = true;
          ProtectSystem = "strict";
          ReadWritePaths = [ "/var/lib/nixcert/revocation" ];
        };
    directory-of-lists-is-made = accepts (evaluate host).config.systemd.tmpfiles.settings."10-nixcert" {
      "/var/lib/nixcert".d = {
        mode = "0755";
        user = "root";
        group = "root";
      };
      "/var/lib/nixcert/revocation".d = {
        mode = "0755";
        user = "root";
        group = "root";
      };
    };
    no-lists-are-asked-if-it-is-said = builds (policyOf (
      with' host { security.nixcert.settings.revocation-lists = null; }
    )) [ "version = 1" ] [ "revocation-lists" ];
  };

  dropIn = with' gate { security.nixcert.dropIn.enable = true; };

  units = {
    drop-in-directory-is-the-groups =
      accepts (evaluate dropIn).config.systemd.tmpfiles.settings."10-nixcert"."/var/lib/nixcert/incoming"
        {
          d = {
            mode = "1730";
            user = "root";
            group = "deployers";
          };
        };
    drop-in-of-another-group =
      accepts
        (evaluate (
          with' host {
            security.nixcert.dropIn.enable = true;
            security.nixcert.dropIn.group = "users";
          }
        )).config.systemd.tmpfiles.settings."10-nixcert"."/var/lib/nixcert/incoming".d.group
        "users";
    drop-in-is-confined =
      let
        service = serviceOf "nixcert-incoming" dropIn;
      in
      accepts
        {
          inherit (service) serviceConfig;
          limit = service.unitConfig.StartLimitIntervalSec;
        }
        {
          limit = 0;
          serviceConfig = {
            Type = "oneshot";
            ExecStart = "${nixcert}/bin/nixcert revocation install --drop-in /var/lib/nixcert/incoming";
            SuccessExitStatus = 1;
            ReadWritePaths = [
              "/var/lib/nixcert/revocation"
              "-/var/lib/nixcert/incoming"
            ];
            Nice = 19;
            IOSchedulingClass = "idle";
            CapabilityBoundingSet = "CAP_DAC_OVERRIDE";
            MemoryMax = "1G";
            TasksMax = 16;
            LockPersonality = true;
            MemoryDenyWriteExecute = true;
            NoNewPrivileges = true;
            PrivateDevices = true;
            PrivateNetwork = true;
            PrivateTmp = true;
            ProtectClock = true;
            ProtectControlGroups = true;
            ProtectHome = true;
            ProtectHostname = true;
            ProtectKernelLogs = true;
            ProtectKernelModules = true;
            ProtectKernelTunables = true;
            ProtectSystem = "strict";
            RestrictAddressFamilies = "AF_UNIX";
            RestrictNamespaces = true;
            RestrictRealtime = true;
            RestrictSUIDSGID = true;
            SystemCallArchitectures = "native";
            SystemCallFilter = "@system-service";
            TimeoutStartSec = "15min";
          };
        };
    drop-in-is-looked-at =
      accepts
        {
          path = (evaluate dropIn).config.systemd.paths;
          timer = (evaluate dropIn).config.systemd.timers;
        }
        {
          path.nixcert-incoming = {
            wantedBy = [ "multi-user.target" ];
            pathConfig.PathChanged = "/var/lib/nixcert/incoming";
          };
          timer.nixcert-incoming = {
            wantedBy = [ "timers.target" ];
            timerConfig = {
              OnBootSec = "1min";
              OnUnitInactiveSec = "1min";
            };
          };
        };
    no-drop-in-no-unit =
      accepts
        {
          inherit ((evaluate gate).config.systemd) paths timers services;
        }
        {
          paths = { };
          timers = { };
          services = { };
        };
    running-system-is-asked-about =
      let
        inherit
          ((evaluate (
            with' gate {
              security.nixcert.verifySystem.enable = true;
              security.nixcert.verifySystem.dates = "Mon 06:00";
            }
          )).config.systemd
          )
          services
          timers
          ;
      in
      accepts
        {
          inherit (services.nixcert-verify-system.serviceConfig) ExecStart ReadWritePaths;
          inherit (timers.nixcert-verify-system) timerConfig wantedBy;
        }
        {
          ExecStart = "${nixcert}/bin/nixcert check-closure /run/current-system";
          ReadWritePaths = [ "/nix/var/nix/db" ];
          timerConfig = {
            OnCalendar = "Mon 06:00";
            Persistent = true;
          };
          wantedBy = [ "timers.target" ];
        };
  };

  # As NixOS writes rules into sudoers.
  sudoers =
    kind: modules:
    map (
      rule:
      "%${lib.head rule.groups} ${rule.host}=(${rule.runAs}) ${
        lib.concatMapStringsSep ", " (
          command:
          "${lib.concatMapStrings (option: "${option}: ") (command.options or [ ])}${command.command}"
        ) rule.commands
      }"
    ) (evaluate modules).config.security.${kind}.extraRules;
  wheel = "%wheel ALL=(ALL:ALL) ALL";
  deployers = inOneLine ''
    %deployers ALL=(root) NOPASSWD: /run/current-system/sw/bin/nixcert activate *, NOPASSWD:
    /run/current-system/sw/bin/nixcert repair -, NOPASSWD: /run/current-system/sw/bin/nixcert revocation install -
  '';

  sudo = {
    sudo-rule-is-this = accepts (sudoers "sudo" gate) [
      wheel
      deployers
    ];
    no-group-no-rule = accepts (sudoers "sudo" (
      with' gate { security.nixcert.activation.group = mkForce null; }
    )) [ wheel ];
    sudo-rs-where-that-is-used =
      accepts
        (sudoers "sudo-rs" (
          with' gate {
            security.sudo.enable = false;
            security.sudo-rs.enable = true;
          }
        ))
        [
          wheel
          deployers
        ];
    sudo-rs-where-it-is-not = accepts (sudoers "sudo-rs" gate) [ ];
    command-is-where-the-rule-says =
      accepts (map (package: package.name) (evaluate gate).config.environment.systemPackages)
        [
          "nixcert-0.1.0"
        ];
  };

  # The VM tests do not run here; what they configure is looked at, and that they have a script.
  vms = import ./vm { inherit pkgs; };
  vmCases = lib.mapAttrs' (
    name: test:
    lib.nameValuePair "vm-${name}-evaluates" (
      accepts
        {
          nodes = lib.mapAttrs (_: node: {
            problems = map (item: item.message) (lib.filter (item: !item.assertion) node.assertions);
            inherit (node) warnings;
          }) test.nodes;
          begins = lib.hasPrefix "def prepare" test.testScript;
        }
        {
          nodes = lib.genAttrs [ "laptop" "server" ] (_: {
            problems = [ ];
            warnings = [ ];
          });
          begins = true;
        }
    )
  ) vms;

  reference = {
    reference-is-up-to-date = accepts (import ../options.nix { inherit lib; }) (
      builtins.readFile ../options.md
    );
  };
in
merge [
  keyCases
  assertions
  warningCases
  rendering
  policies
  lists
  units
  sudo
  vmCases
  reference
]
