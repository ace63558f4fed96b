# A normal user deploys with nixos-rebuild; what is not signed, or not any more, does not come in.
{ pkgs, common }:
{
  name = "nixcert-deploy";

  nodes.server = {
    imports = [
      common.server
      common.protected
    ];
    # nixos-rebuild needs all of sudo. So this is the import gate alone.
    users.users.alice.extraGroups = [ "wheel" ];
    security.sudo.wheelNeedsPassword = false;
    specialisation.next.configuration.environment.etc.deployed.text = "next";
  };

  nodes.laptop =
    { nodes, ... }:
    {
      imports = [ common.laptop ];
      # The next system of the server, built already; a copy of it under a name of its own is what Alice builds and signs.
      virtualisation.additionalPaths = [
        nodes.server.specialisation.next.configuration.system.build.toplevel
      ];
      environment.etc."server.nix".text = ''
        let
          next = builtins.storePath ${nodes.server.specialisation.next.configuration.system.build.toplevel};
        in
        {
          config.system.build.toplevel = derivation {
            name = "nixos-system-server-next";
            system = builtins.currentSystem;
            builder = "''${builtins.storePath ${pkgs.bash}}/bin/bash";
            args = [ "-c" "''${builtins.storePath ${pkgs.coreutils}}/bin/cp -r ''${next}/. $out" ];
          };
        }
      '';
    };

  testScript = common.words + ''
    prepare()
    switch = "nixos-rebuild switch --file /etc/server.nix --target-host alice@server --sudo"

    with subtest("nixos-rebuild: unsigned is refused"):
        alice_fails(switch, unsigned)
        server.fail("test -e /etc/deployed")

    with subtest("nixos-rebuild: signed is accepted"):
        alice("nixos-rebuild build --file /etc/server.nix")
        sign("./result")
        alice(switch)
        server.succeed("grep next /etc/deployed")

    with subtest("expired is refused, with the reason"):
        certify("short.key", "--valid 5s --not-before -1s")
        old = build("old-1")
        sign(old, "short.key")
        laptop.succeed("sleep 10")
        alice_fails(copy(old), "expired")

    with subtest("the same path with a certificate that is in force is accepted"):
        sign(old)
        alice(copy(old))

    with subtest("a closure of a vendor's paths and Alice's is accepted"):
        laptop.succeed("nix key generate-secret --key-name other-1 > /tmp/other.key && chmod a+r /tmp/other.key")
        tool = build("tool-1")
        mixed = build("mixed-1", tool)
        alice(f"nix store sign --key-file ${common.vendor.secret} {tool}")
        alice(f"nix store sign --key-file alice.nixcert.key {mixed}")
        alice(copy(mixed))

    with subtest("with a key that is no vendor's it is refused"):
        tool = build("tool-2")
        mixed = build("mixed-2", tool)
        alice(f"nix store sign --key-file /tmp/other.key {tool}")
        alice(f"nix store sign --key-file alice.nixcert.key {mixed}")
        alice_fails(copy(mixed), unsigned)

    with subtest("not revoked is accepted, revoked is refused"):
        first, second = build("first-1"), build("second-1")
        sign(first)
        sign(second)
        alice(copy(first))
        laptop.succeed("nixcert revoke --ca /root/ca --first --label alice --retired --yes -o /tmp/acme.list")
        laptop.succeed("chmod a+r /tmp/acme.list")
        alice("scp /tmp/acme.list alice@server:acme.list")
        server.succeed("nixcert revocation install /home/alice/acme.list")
        alice_fails(copy(second), "revoked")
  '';
}
