# The activation gate: who may do nothing else as root activates what people vouch for; lists come by the drop-in directory; the
# running system is asked about.
{ pkgs, common }:
{
  name = "nixcert-activation";

  nodes.server = {
    imports = [
      common.server
      common.protected
    ];
    users.groups.deployers = { };
    users.users.alice.extraGroups = [ "deployers" ];
    nix.settings.ca-host-name = "server";
    security.nixcert = {
      activation.enable = true;
      activation.group = "deployers";
      dropIn.enable = true;
      verifySystem.enable = true;
    };
    specialisation.next.configuration.environment.etc.deployed.text = "next";
  };

  nodes.laptop =
    { nodes, ... }:
    {
      imports = [ common.laptop ];
      virtualisation.additionalPaths = [
        nodes.server.specialisation.next.configuration.system.build.toplevel
      ];
      environment.etc.next.source = nodes.server.specialisation.next.configuration.system.build.toplevel;
    };

  testScript = common.words + ''
    prepare()
    system = laptop.succeed("readlink -f /etc/next").strip()
    activate = f"ssh alice@server sudo -n /run/current-system/sw/bin/nixcert activate {system}"
    deploy = f"nixcert deploy --to alice@server --host server --key alice.nixcert.key --vouch all --yes {system}"

    with subtest("a system that nobody vouches for is not activated"):
        sign(system)
        alice(copy(system))
        alice_fails(activate, "closure-signature-missing")
        server.fail("test -e /etc/deployed")

    with subtest("the same system, vouched for, is"):
        alice(deploy)
        server.succeed("grep next /etc/deployed")

    with subtest("sudo lets Alice do that, and nothing else"):
        alice(activate)
        alice_fails("ssh alice@server sudo -n true", "password is required")
        alice_fails(f"ssh alice@server sudo -n nixcert override {system}", "password is required")

    with subtest("the running system is vouched for"):
        server.succeed("systemctl start nixcert-verify-system.service")

    with subtest("a list that Alice drops is taken up; what is no list is removed"):
        laptop.succeed(
            "nixcert revoke --ca /root/ca --first --label alice --compromised-since 2026-11-01 --yes -o /tmp/acme.list"
        )
        laptop.succeed("chmod a+r /tmp/acme.list")
        alice("scp /tmp/acme.list alice@server:/var/lib/nixcert/incoming/acme.list")
        server.wait_until_succeeds("nixcert revocation query --label alice; test $? = 1", timeout=180)
        server.wait_until_fails("test -e /var/lib/nixcert/incoming/acme.list")
        alice("ssh alice@server 'echo no list > /var/lib/nixcert/incoming/other'")
        server.wait_until_fails("test -e /var/lib/nixcert/incoming/other", timeout=180)

    with subtest("and then nobody vouches for the running system"):
        server.fail("systemctl start nixcert-verify-system.service")
        server.succeed("systemctl is-failed nixcert-verify-system.service")
  '';
}
