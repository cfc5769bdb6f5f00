# The functions of nixpkgs' lib that the flake, the modules and their tests use. nixpkgs' own lib is the reference: what is
# here has its names, arguments and results.
let
  inherit (builtins)
    all
    any
    attrNames
    attrValues
    concatLists
    concatMap
    concatStringsSep
    elem
    elemAt
    filter
    foldl'
    genList
    hasAttr
    head
    isAttrs
    isList
    isPath
    isString
    length
    listToAttrs
    mapAttrs
    pathExists
    removeAttrs
    replaceStrings
    stringLength
    substring
    tail
    zipAttrsWith
    ;
  isDerivation = value: value.type or null == "derivation";
  nameValuePair = name: value: { inherit name value; };

  lists = rec {
    optional = condition: value: if condition then [ value ] else [ ];
    optionals = condition: values: if condition then values else [ ];
    toList = value: if isList value then value else [ value ];
    last = values: elemAt values (length values - 1);
    drop =
      count: values: genList (index: elemAt values (index + count)) (lib.max 0 (length values - count));
    imap0 = f: values: genList (index: f index (elemAt values index)) (length values);
    unique = foldl' (kept: value: if elem value kept then kept else kept ++ [ value ]) [ ];
    reverseList = values: genList (index: elemAt values (length values - 1 - index)) (length values);
  };

  attrsets = rec {
    optionalAttrs = condition: attrs: if condition then attrs else { };
    genAttrs = names: f: listToAttrs (map (name: nameValuePair name (f name)) names);
    mapAttrs' = f: attrs: listToAttrs (map (name: f name attrs.${name}) (attrNames attrs));
    mapAttrsToList = f: attrs: map (name: f name attrs.${name}) (attrNames attrs);
    concatMapAttrs = f: attrs: foldl' (merged: it: merged // it) { } (mapAttrsToList f attrs);
    filterAttrs =
      keep: attrs: removeAttrs attrs (filter (name: !keep name attrs.${name}) (attrNames attrs));
    filterAttrsRecursive =
      keep: attrs:
      mapAttrs (_: value: if isAttrs value then filterAttrsRecursive keep value else value) (
        filterAttrs keep attrs
      );
    setAttrByPath =
      path: value: if path == [ ] then value else { ${head path} = setAttrByPath (tail path) value; };
    hasAttrByPath =
      path: attrs:
      path == [ ]
      || (isAttrs attrs && attrs ? ${head path} && hasAttrByPath (tail path) attrs.${head path});
    attrByPath =
      path: default: attrs:
      if path == [ ] then
        attrs
      else if isAttrs attrs && attrs ? ${head path} then
        attrByPath (tail path) default attrs.${head path}
      else
        default;
    recursiveUpdate =
      left: right:
      left
      // mapAttrs (
        name: value:
        if isAttrs value && isAttrs (left.${name} or null) then
          recursiveUpdate left.${name} value
        else
          value
      ) right;
  };

  strings = rec {
    optionalString = condition: text: if condition then text else "";
    concatStrings = concatStringsSep "";
    concatMapStrings = f: values: concatStrings (map f values);
    concatMapStringsSep =
      separator: f: values:
      concatStringsSep separator (map f values);
    concatLines = concatMapStrings (line: "${line}\n");
    boolToString = value: if value then "true" else "false";
    hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
    hasSuffix =
      suffix: text:
      stringLength text >= stringLength suffix
      && substring (stringLength text - stringLength suffix) (stringLength suffix) text == suffix;
    hasInfix = part: text: replaceStrings [ part ] [ "" ] text != text;
    removePrefix =
      prefix: text: if hasPrefix prefix text then substring (stringLength prefix) (-1) text else text;
    removeSuffix =
      suffix: text:
      if hasSuffix suffix text then substring 0 (stringLength text - stringLength suffix) text else text;
    trim = text: head (builtins.match "[[:space:]]*(.*[^[:space:]]|)[[:space:]]*" text);
    escapeShellArg = text: "'${replaceStrings [ "'" ] [ "'\\''" ] (toString text)}'";
  };

  # a file set is a list of { root: a path; keep: whether a file under it belongs; enter: whether a directory may hold some }
  fileset =
    let
      coerce =
        value:
        if isList value then
          value
        else
          [
            {
              root = value;
              keep = _: true;
              enter = _: true;
            }
          ];
      under = root: path: strings.hasPrefix "${toString root}/" "${toString path}/";
      holds = sets: path: any (set: under set.root path && set.keep path) sets;
    in
    {
      unions = concatMap coerce;
      difference =
        left: right:
        map (
          set:
          set
          // {
            keep = path: set.keep path && !(holds (coerce right) path);
            enter = path: set.enter path && !(holds (coerce right) path);
          }
        ) (coerce left);
      fileFilter =
        predicate: root:
        let
          file = name: {
            inherit name;
            hasExt = extension: strings.hasSuffix ".${extension}" name;
          };
        in
        [
          {
            inherit root;
            keep = path: predicate (file (baseNameOf path));
            enter = _: true;
          }
        ];
      toSource =
        { root, fileset }:
        let
          sets = coerce fileset;
          leadsTo = path: any (set: under path set.root || under set.root path && set.enter path) sets;
        in
        {
          outPath = builtins.path {
            name = "source";
            path = root;
            filter = path: type: if type == "directory" then leadsTo path else holds sets path;
          };
        };
    };

  lib =
    lists
    // attrsets
    // strings
    // import ./modules.nix { inherit lib; }
    // {
      inherit
        all
        any
        attrNames
        attrValues
        concatLists
        concatMap
        concatStringsSep
        elem
        elemAt
        fileset
        filter
        foldl'
        hasAttr
        head
        isAttrs
        isDerivation
        isList
        isPath
        isString
        length
        listToAttrs
        mapAttrs
        nameValuePair
        pathExists
        removeAttrs
        replaceStrings
        tail
        zipAttrsWith
        ;
      types = import ./types.nix { inherit lib; };
      max = left: right: if left > right then left else right;
      throwIf =
        condition: message: value:
        if condition then throw message else value;
      getExe = package: "${package}/bin/${package.meta.mainProgram or package.pname}";
      licenses.mit.shortName = "mit";
      platforms.linux = [
        "x86_64-linux"
        "aarch64-linux"
      ];
    };
in
lib
