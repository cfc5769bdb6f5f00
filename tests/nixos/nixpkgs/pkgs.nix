# Packages on the tools of the machine that builds: bash and coreutils from /bin and /usr, Rust from /opt/rust-host. The
# sandbox is given these directories (tests/nixos/run); everything else that a build reads comes through the store.
{ lib, system }:
let
  derive =
    attrs:
    let
      script = ''
        export PATH=/opt/rust-host/bin:/usr/local/bin:/usr/bin:/bin HOME=$NIX_BUILD_TOP LC_ALL=C SOURCE_DATE_EPOCH=1
        ${attrs.script}
      '';
      built = derivation (
        {
          inherit system;
          inherit (attrs) name;
          builder = "/bin/bash";
          args = [
            "-euc"
            script
          ];
        }
        // attrs.env
      );
    in
    built // attrs.passthru // { meta = attrs.meta; };

  runCommand =
    name: attrs: script:
    derive {
      inherit name script;
      env = removeAttrs attrs [
        "meta"
        "nativeBuildInputs"
      ];
      passthru = { };
      meta = attrs.meta or { };
    };

  writeTo =
    {
      name,
      text,
      destination ? "",
      executable ? false,
    }:
    runCommand name
      {
        inherit text;
        passAsFile = [ "text" ];
      }
      ''
        mkdir -p "$(dirname "$out${destination}")"
        cp "$textPath" "$out${destination}"
        ${lib.optionalString executable ''chmod +x "$out${destination}"''}
      '';

  # what is known of the tools that a package may ask for: a hook is shell that runs at its time
  tool = name: { inherit name; };
  hook = name: hooks: tool name // hooks;

  mkDerivation =
    attrs:
    let
      name = attrs.name or "${attrs.pname}-${attrs.version}";
      hooks = at: lib.concatMapStrings (it: it.${at} or "") (attrs.nativeBuildInputs or [ ]);
      own = phase: attrs.${phase} or "";
      # .ci/run asks cargo the same of the same sources, and this machine has no nixfmt: that the check can be put together is
      # what is shown here
      skipped = builtins.match ".*(cargo clippy|cargo test|nixfmt) .*" (own "buildPhase") != null;
      phases = {
        inherit name;
        script = ''
          ${lib.optionalString (!(attrs.dontUnpack or false)) ''
            cp -r $src source
            chmod -R u+w source
            cd source
          ''}
          ${hooks "setup"}
          ${if skipped then "echo 'not run a second time'" else own "preBuild" + own "buildPhase"}
          ${own "installPhase"}
          ${lib.optionalString (!(attrs.dontFixup or false)) (hooks "fixup")}
        '';
        env =
          removeAttrs attrs [
            "buildInputs"
            "cargoLock"
            "doCheck"
            "dontFixup"
            "dontStrip"
            "dontUnpack"
            "env"
            "installPhase"
            "buildPhase"
            "preBuild"
            "cargoTestFlags"
            "meta"
            "name"
            "nativeBuildInputs"
            "pname"
            "version"
          ]
          // attrs.env or { };
        passthru = {
          inherit (attrs) version pname;
          src = attrs.src or null;
          overrideAttrs = change: mkDerivation (attrs // change attrs);
        };
        meta = attrs.meta or { };
      };
    in
    derive (
      phases
      // {
        passthru = lib.filterAttrs (name: _: name == "overrideAttrs" || attrs ? ${name}) phases.passthru;
      }
    );

  # ---- Rust, from the lock file; tests/nixos/run has put the crates into the store, by their checksums
  crate =
    package:
    derivation {
      name = "crate-${package.name}-${package.version}.tar.gz";
      builder = "builtin:fetchurl";
      system = "builtin";
      url = "file:///was-not-put-into-the-store/${package.name}-${package.version}.crate";
      urls = [ ];
      executable = false;
      unpack = false;
      outputHashMode = "flat";
      outputHashAlgo = "sha256";
      outputHash = package.checksum;
      preferLocalBuild = true;
    };

  importCargoLock =
    { lockFile }:
    let
      lock = fromTOML (builtins.readFile lockFile);
      fetched = lib.filter (package: package ? checksum) lock.package;
    in
    runCommand "cargo-vendor-dir"
      {
        crates = lib.concatMapStrings (
          package: "${crate package} ${package.name}-${package.version} ${package.checksum}\n"
        ) fetched;
        passAsFile = [ "crates" ];
      }
      ''
        mkdir $out
        while read -r archive name checksum; do
          mkdir "$out/$name"
          tar -xzf "$archive" -C "$out/$name" --strip-components=1 --no-same-owner
          printf '{"files":{},"package":"%s"}' "$checksum" > "$out/$name/.cargo-checksum.json"
        done < "$cratesPath"
      '';

  cargoSetupHook = hook "cargo-setup-hook" {
    setup = ''
      export CARGO_HOME=$NIX_BUILD_TOP/cargo-home CARGO_NET_OFFLINE=true
      mkdir $CARGO_HOME
      cp -r "$cargoDeps" $NIX_BUILD_TOP/cargo-vendor-dir
      printf '[source.crates-io]\nreplace-with="vendored"\n[source.vendored]\ndirectory="%s"\n' \
        $NIX_BUILD_TOP/cargo-vendor-dir > $CARGO_HOME/config.toml
    '';
  };

  buildRustPackage =
    attrs:
    mkDerivation (
      {
        cargoDeps = importCargoLock attrs.cargoLock;
        buildPhase = ''
          # unoptimised: what a build's place, time and user could reach is all that is compared here
          export CARGO_PROFILE_RELEASE_OPT_LEVEL=0
          cargo build --release --locked --offline -j ''${NIX_BUILD_CORES:-2}
        '';
        installPhase = ''
          mkdir -p $out/bin
          find target/release -maxdepth 1 -type f -executable ! -name '*.so' -exec cp -t $out/bin {} +
        '';
      }
      // attrs
      // {
        nativeBuildInputs = [ cargoSetupHook ] ++ attrs.nativeBuildInputs or [ ];
      }
    );

  yaml = {
    type = lib.types.value;
    # JSON is YAML
    generate = name: value: pkgs.writeText name (builtins.toJSON value);
  };

  # A VM cannot be had here. What can be: the hosts' units, and a script that Python can read.
  runNixOSTest =
    test:
    let
      node =
        name: module:
        (lib.nixosSystem {
          inherit system;
          modules = [
            module
            { networking.hostName = name; }
            (test.defaults or { })
          ];
        }).config.system.build.toplevel;
      nodes = lib.mapAttrs node test.nodes;
    in
    runCommand "vm-test-${test.name}-not-run"
      {
        script = test.testScript;
        passAsFile = [ "script" ];
        nodes = lib.attrValues nodes;
      }
      ''
        python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read())' "$scriptPath"
        echo "$nodes" > $out
      '';

  callWith =
    file: arguments:
    let
      f = import file;
    in
    f (builtins.intersectAttrs (builtins.functionArgs f) pkgs // arguments);

  pkgs = {
    inherit
      lib
      mkDerivation
      runCommand
      system
      ;
    stdenv = {
      inherit mkDerivation;
      hostPlatform = {
        inherit system;
        isx86_64 = system == "x86_64-linux";
      };
      buildPlatform.canExecute = platform: platform.system == system;
      cc.cc.lib = tool "gcc-libs";
    };
    rustPlatform = {
      inherit buildRustPackage cargoSetupHook importCargoLock;
    };
    formats.yaml = _: yaml;
    testers = { inherit runNixOSTest; };
    fetchPypi =
      {
        pname,
        version,
        sha256,
        python,
        platform,
        ...
      }:
      derivation {
        name = "${pname}-${version}-${python}-none-${platform}.whl";
        builder = "builtin:fetchurl";
        system = "builtin";
        url = "file:///was-not-put-into-the-store/${pname}-${version}.whl";
        urls = [ ];
        executable = false;
        unpack = false;
        outputHashMode = "flat";
        outputHashAlgo = "sha256";
        outputHash = sha256;
        preferLocalBuild = true;
      };

    writeText = name: text: writeTo { inherit name text; };
    writeTextDir =
      path: text:
      writeTo {
        name = baseNameOf path;
        destination = "/${path}";
        inherit text;
      };
    writeShellScript =
      name: text:
      writeTo {
        inherit name;
        text = "#!/bin/bash\n${text}";
        executable = true;
      };

    nixfmt-tree = runCommand "nixfmt-tree" { } "touch $out";
    python3 = tool "python3" // {
      withPackages = _: tool "python3-with-packages";
    };
    # the shell's tools are those of the host: that it can be put together is all that is shown
    mkShell = _: runCommand "shell" { } "touch $out";
    autoAddDriverRunpath = hook "auto-add-driver-runpath" {
      fixup = ''
        for binary in $out/bin/*; do patchelf --add-rpath /run/opengl-driver/lib "$binary"; done
      '';
    };
  }
  // lib.genAttrs [
    "autoPatchelfHook"
    "cargo"
    "clippy"
    "deadnix"
    "gcc"
    "nixfmt"
    "rustc"
    "rustfmt"
  ] tool
  // {
    callPackage =
      file: arguments:
      callWith file arguments
      // {
        override = changed: pkgs.callPackage file (arguments // changed);
        overrideDerivation = throw "the stand-in has no overrideDerivation";
      };
    callPackages = callWith;
  };
in
pkgs
