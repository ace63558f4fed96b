# What a certificate does, with the commands nix and nixcert alone, as anybody, in a temporary directory that has its own store.
# It ends with an error where a step does not do what it says. No daemon takes part: `nixcert verify` says what a host would.
set -euo pipefail

demo=$(mktemp -d)
trap 'chmod -R u+w "$demo" && rm -rf "$demo"' EXIT
cd "$demo"

export HOME=$demo NIX_REMOTE='' NIX_CONF_DIR=$demo/etc NIX_USER_CONF_FILES=/dev/null NIX_LOCALSTATE_DIR=$demo/var
export NIX_STORE_DIR=$demo/store NIX_STATE_DIR=$demo/var/nix NIX_LOG_DIR=$demo/var/log
mkdir etc
cat > etc/nix.conf <<'END'
experimental-features = nix-command
sandbox = false
substituters =
build-users-group =
END

say() {
    printf '\n\e[1m%s\e[0m\n' "$*"
}

run() {
    printf '$ %s\n' "$*"
    "$@"
}

# A command that has to answer no, and why.
refused() {
    local reason=$1 answer status=0
    shift
    printf '$ %s\n' "$*"
    answer=$("$@" 2>&1) || status=$?
    printf '%s\n' "$answer"
    if [ "$status" != 1 ] || [[ $answer != *"$reason"* ]]; then
        printf 'This should have been refused: %s (it ended with %s)\n' "$reason" "$status" >&2
        exit 1
    fi
}

# Builds something, and leaves its narinfo, signed by this key if there is one, in NAME.narinfo.
build() {
    local name=$1 key=${2-} path
    path=$(nix build --impure --no-link --print-out-paths --expr "derivation {
        name = \"$name\"; system = builtins.currentSystem; builder = \"/bin/sh\"; args = [ \"-c\" \"echo $name > \$out\" ];
    }" 2> build.log) || { cat build.log >&2; exit 1; }
    printf '%s\n' "$path"
    if [ -n "$key" ]; then
        run nix store sign --key-file "$key" "$path"
    fi
    nix copy --quiet --to "file://$demo/cache" "$path"
    path=${path##*/}
    cp "cache/${path%%-*}.narinfo" "$name.narinfo"
}

say '1. The company makes a CA. Hosts trust it by one line in nix.conf.'
printf '%s\n' '$ nixcert ca init ca --name acme-2026-1 --unencrypted'
trusted=$(nixcert ca init ca --name acme-2026-1 --unencrypted)
printf 'trusted-public-keys =\n%s\nca-host-name = web-1\n' "$trusted" | tee host.conf

say '2. Alice makes a key and asks for a certificate. The CA gives her one: for web-*, on the hosts web-?, for 90 days.'
run nixcert key generate --name alice-1 -o alice.key
run nixcert request --key alice.key --label alice -o alice.request
run nixcert issue --ca ca alice.request --permit 'web-*' --host 'web-?' --valid 90d \
    --store-dir "$NIX_STORE_DIR" --yes -o alice.cert
run nixcert attach --key alice.key alice.cert -o alice.nixcert.key

say '3. She builds web-site and signs it, with stock Nix. The host has never heard of her key, and accepts it.'
build web-site alice.nixcert.key
run nixcert verify --nix-conf host.conf web-site.narinfo

say '4. Not on a host that her certificate does not name,'
refused host-not-permitted nixcert verify --nix-conf host.conf --host db-1 web-site.narinfo

say '   not when it has ended,'
refused expired nixcert verify --nix-conf host.conf --at +91d web-site.narinfo

say '   and nothing of another name.'
build sudo alice.nixcert.key
refused name-not-permitted nixcert verify --nix-conf host.conf sudo.narinfo

say '5. Mallory has a CA too, but no host trusts it.'
nixcert ca init mallory-ca --name acme-2026-1 --unencrypted > mallory.trusted 2> mallory.log
nixcert key generate --name mallory-1 -o mallory.key 2>> mallory.log
nixcert request --key mallory.key --label mallory -o mallory.request 2>> mallory.log
nixcert issue --ca mallory-ca mallory.request --permit '*' --host '*' \
    --store-dir "$NIX_STORE_DIR" --yes -o mallory.cert >> mallory.log 2>&1
nixcert attach --key mallory.key mallory.cert -o mallory.nixcert.key 2>> mallory.log
build web-shell mallory.nixcert.key
refused untrusted-ca nixcert verify --nix-conf host.conf web-shell.narinfo

say '6. And what nobody signed is refused.'
build web-unsigned
refused no-signatures nixcert verify --nix-conf host.conf web-unsigned.narinfo

say 'Every step did what it says.'
