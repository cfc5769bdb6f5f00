# All three roles; each stays off until its `enable` is set.
{
  imports = [
    ./validator.nix
    ./miner.nix
    ./worker.nix
  ];
}
