# From stock Nix to one that checks certificates, on a running host, and back.
{ pkgs, common }:
{
  name = "nixcert-upgrade";

  nodes.server = {
    imports = [ common.server ];
    specialisation.protected.configuration = common.protected;
  };

  nodes.laptop.imports = [ common.laptop ];

  testScript = common.words + ''
    prepare()
    stock = server.succeed("readlink -f /run/current-system").strip()
    before, after, back = build("before-1"), build("after-1"), build("back-1")
    for path in [before, after, back]:
        sign(path)

    with subtest("stock Nix refuses what is certified, and says nothing of settings"):
        server.succeed("nix config show 2>&1 | (! grep -E 'trusted-ca-keys|unknown setting')")
        alice_fails(copy(before), unsigned)

    with subtest("with nixcert it is accepted, and what is unsigned is refused"):
        server.succeed("/run/current-system/specialisation/protected/bin/switch-to-configuration test")
        server.succeed("nix config show | grep '^trusted-ca-keys = acme-1:'")
        alice(copy(after))
        alice_fails(copy(build("unsigned-1")), unsigned)

    with subtest("and back: it is refused, and what came in stays"):
        server.succeed(f"{stock}/bin/switch-to-configuration test")
        alice_fails(copy(back), unsigned)
        server.succeed(f"nix-store --check-validity {after}")
  '';
}
