# A Nix without patches, and the plugin in its daemon.
{ pkgs, common }:
{
  name = "nixcert-plugin";

  nodes.server = {
    imports = [
      common.server
      common.protected
    ];
    security.nixcert.integration = "plugin";
  };

  nodes.laptop.imports = [ common.laptop ];

  testScript = common.words + ''
    prepare()
    signed, bare = build("signed-1"), build("bare-1")
    sign(signed)

    with subtest("signed is accepted by the daemon"):
        alice(copy(signed))
        server.succeed("journalctl --facility authpriv | grep signed-1")

    with subtest("unsigned is refused"):
        alice_fails(copy(bare), unsigned)

    with subtest("root's own commands know nothing of certificates"):
        server.fail(f"nix store verify --no-contents --sigs-needed 1 {signed}")
  '';
}
