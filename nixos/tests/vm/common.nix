# What the VM tests have in common: a CA with a key that everybody knows, a host that trusts it, Alice's machine, and the words
# of the scripts. Certificates are issued when a test runs, by its clock.
{ pkgs }:
let
  ssh = import (pkgs.path + "/nixos/tests/ssh-keys.nix") pkgs;

  ca = {
    public = "acme-1:Yac1NVo7rttCJ5VCZLzas3A+28Tld5c5cUsfK/BtlzM=";
    secret = pkgs.writeText "ca.key" ''
      acme-1:iOlA5NikzmYlT6SfsM4SuBwO1m2fWEnuxj6JUxm6W/RhpzU1Wjuu20InlUJkvNqzcD7bxOV3lzlxSx8r8G2XMw==
    '';
    about = pkgs.writeText "ca.json" (
      builtins.toJSON {
        schema = 1;
        kind = "root";
        name = "acme-1";
        public_key = ca.public;
        created = "2026-11-01T00:00:00Z";
      }
    );
  };

  # A vendor, in the place of cache.nixos.org, which no VM reaches.
  vendor = {
    public = "vendor-1:ctaRoA0SYpFmElZJXJI3ZJgoad7Z1M0w1waLnF8Ew5I=";
    secret = pkgs.writeText "vendor.key" ''
      vendor-1:hQRh6ClYZXs8xYB+JHtF+sqQfgLY+Kv1wKxKCoAUCKFy1pGgDRJikWYSVklckjdkmChp3tnUzTDXBoucXwTDkg==
    '';
  };

  users = {
    users.users.alice = {
      isNormalUser = true;
      openssh.authorizedKeys.keys = [ ssh.snakeOilPublicKey ];
    };
  };

  offline = { lib, ... }: {
    nix.settings = {
      substituters = lib.mkForce [ ];
      experimental-features = [ "nix-command" ];
    };
    virtualisation.writableStore = true;
    virtualisation.memorySize = 2048;
  };
in
{
  inherit ca vendor;

  # A host that people deploy to, without nixcert.
  server = {
    imports = [
      users
      offline
    ];
    services.openssh.enable = true;
    system.switch.enable = true;
    networking.hostName = "server";
    nix.settings.trusted-public-keys = [ vendor.public ];
  };

  # What nixcert adds to it.
  protected = {
    imports = [ ../../module.nix ];
    nix.settings.trusted-ca-keys = [ ca.public ];
    security.nixcert.enable = true;
    security.nixcert.settings.ca.acme-1 = {
      permitted-names = [ "*" ];
      usages = [
        "import-paths"
        "vouch-for-systems"
      ];
    };
  };

  # Alice's machine: stock Nix, and the command.
  laptop = {
    imports = [
      users
      offline
    ];
    networking.hostName = "laptop";
    environment.systemPackages = [ pkgs.nixcert ];
    programs.ssh.extraConfig = ''
      StrictHostKeyChecking no
      UserKnownHostsFile /dev/null
      LogLevel ERROR
    '';
  };

  # The words of the scripts. The CA's directory and Alice's keys are below /root and /home/alice of her laptop.
  words = ''
    def prepare() -> None:
        """Start, and give Alice her ssh key, a signing key and its certificate."""
        start_all()
        server.wait_for_unit("sshd.service")
        server.wait_for_open_port(22)
        laptop.wait_for_unit("multi-user.target")
        laptop.succeed("install -d -m 700 /root/ca")
        laptop.succeed("install -m 600 ${ca.secret} /root/ca/ca.key")
        laptop.succeed("install -m 600 ${ca.about} /root/ca/ca.json")
        laptop.succeed("echo ${ca.public} > /root/ca/ca.pub && touch /root/ca/issued.jsonl")
        laptop.succeed("install -D -m 600 -o alice ${ssh.snakeOilPrivateKey} /home/alice/.ssh/id_ecdsa")
        laptop.succeed("chown -R alice /home/alice/.ssh")
        alice("nixcert key generate --name alice-1 -o alice.key")
        alice("nixcert request --key alice.key --label alice -o alice.request")
        certify("alice.nixcert.key")
        laptop.wait_until_succeeds("ping -c 1 server")


    def alice(line: str) -> str:
        """A command of Alice's, on her laptop."""
        return laptop.succeed(f"su - alice -c {quote(line)}")


    def alice_fails(line: str, because: str) -> None:
        """A command of Alice's that has to fail, and to say why."""
        said = laptop.fail(f"su - alice -c {quote(line + ' 2>&1')}")
        assert because in " ".join(said.split()), f"{line}: it said {said}"


    def quote(line: str) -> str:
        return "'" + line.replace("'", "'\\'''") + "'"


    def certify(key: str, options: str = "--valid 1d") -> None:
        """Let the CA certify Alice's key, for what she deploys; the key with its certificate is a file of hers."""
        laptop.succeed(
            "cd /home/alice && nixcert issue --ca /root/ca alice.request --permit '*' --host '*' --yes --force"
            f" --usage import-paths,vouch-for-systems {options} -o /tmp/alice.cert && chmod a+r /tmp/alice.cert"
        )
        alice(f"nixcert attach --key alice.key /tmp/alice.cert --force -o {key}")


    def build(name: str, refers_to: str = "") -> str:
        """Build a small path on the laptop: not content-addressed, so it needs a signature."""
        # By its name alone, Nix would not take it for something that is referred to.
        reference = "''${builtins.storePath " + refers_to + "}" if refers_to else ""
        expression = (
            "derivation { name = \"" + name + "\"; system = builtins.currentSystem; builder = \"/bin/sh\";"
            " args = [ \"-c\" \"echo " + name + " " + reference + " > $out\" ]; }"
        )
        return alice(f"nix build --impure --no-link --print-out-paths --expr {quote(expression)}").strip()


    def sign(path: str, key: str = "alice.nixcert.key") -> None:
        alice(f"nix store sign --key-file {key} --recursive {path}")


    def copy(path: str) -> str:
        return f"nix-copy-closure --to alice@server {path}"


    unsigned = "lacks a signature by a trusted key"
  '';
}
