# A value as TOML: tables behind what is not one, as the format has it.
{ lib }:
let
  key = name: if builtins.match "[A-Za-z0-9_-]+" name == null then builtins.toJSON name else name;

  isTables = value: lib.isList value && value != [ ] && lib.all lib.isAttrs value;

  scalar =
    value:
    if lib.isList value then
      "[${lib.concatMapStringsSep ", " scalar value}]"
    else if lib.isString value || lib.isInt value || lib.isBool value then
      builtins.toJSON value
    else
      throw "the stand-in has no TOML for a ${builtins.typeOf value}";

  table =
    path: value:
    let
      tables = lib.filterAttrs (_: item: lib.isAttrs item || isTables item) value;
      own = removeAttrs value (lib.attrNames tables);
    in
    lib.concatStrings (lib.mapAttrsToList (name: item: "${key name} = ${scalar item}\n") own)
    + lib.concatStrings (
      lib.mapAttrsToList (
        name: item:
        let
          inner = path ++ [ (key name) ];
          header = lib.concatStringsSep "." inner;
        in
        if lib.isList item then
          lib.concatMapStrings (item: "\n[[${header}]]\n" + table inner item) item
        else
          "\n[${header}]\n" + table inner item
      ) tables
    );
in
table [ ]
