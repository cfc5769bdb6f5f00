"""Bittensor's SDK as a client of our simulated chain: what it reads, and what it signs, over WebSocket."""

import asyncio
import time
import unittest

import bittensor as bt

from subnet import NETUID, Subnet, neuron

VERSION = 9010000
QUICKNET_GENESIS, QUICKNET_PERIOD_S = 1692803367, 3
MINER_AXON = "203.0.113.7:8091"


class Sdk(unittest.TestCase):
    """A subnet of a validator (uid 0) and two miners, and the SDK connected to its chain."""

    hyperparameters = {}

    @classmethod
    def setUpClass(cls):
        cls.subnet = subnet = Subnet()
        cls.addClassCleanup(subnet.stop)
        names = ("validator", "miner", "other", "stranger")
        cls.validator, cls.miner, cls.other, cls.stranger = wallets = [subnet.wallet(name) for name in names]
        neurons = [neuron(0, cls.validator, permit=True), neuron(1, cls.miner, axon=MINER_AXON), neuron(2, cls.other)]
        # the SDK waits for more than the rate limit since block 0
        hyperparameters = {"weights_rate_limit": 0, "serving_rate_limit": 0, **cls.hyperparameters}
        cls.url = subnet.chain(neurons, **hyperparameters).replace("http://", "ws://")
        cls.hotkeys = [wallet.hotkey.ss58_address for wallet in wallets]
        cls.chain = bt.Subtensor(network=cls.url)
        cls.addClassCleanup(cls.chain.close)
        # epochs and weights count from a block that is not the first
        cls.chain.wait_for_block(3)

    def set_weights(self, wallet, uids, weights, **options):
        return self.chain.set_weights(wallet, NETUID, uids, weights, version_key=VERSION, **options)


    def set_openly(self, wallet):
        """One extrinsic; the SDK's own set_weights would try for ever what the pallet refuses."""
        substrate = self.chain.substrate
        arguments = {"netuid": NETUID, "dests": [0, 2], "weights": [1, 1], "version_key": VERSION}
        call = substrate.compose_call("SubtensorModule", "set_weights", arguments)
        signed = substrate.create_signed_extrinsic(call=call, keypair=wallet.hotkey, era={"period": 8})
        return substrate.submit_extrinsic(signed, wait_for_inclusion=True)


class Reads(Sdk):
    def test_heads_are_told_and_each_follows_the_one_before(self):
        heads = []

        def heard(message, *_):
            heads.append(message["header"])
            return heads if len(heads) == 3 else None

        self.chain.substrate.subscribe_block_headers(heard)
        numbers = [head["number"] for head in heads]
        self.assertEqual(numbers, [numbers[0] + place for place in range(3)])
        self.assertEqual(self.chain.get_block_hash(numbers[1]), heads[2]["parentHash"])
        self.assertGreaterEqual(self.chain.block, numbers[2])

    def test_a_block_holds_its_timestamp_and_events_that_it_can_decode(self):
        block = self.chain.substrate.get_block(block_number=2)
        (inherent,) = block["extrinsics"]
        self.assertEqual(inherent.value["call"]["call_module"], "Timestamp")
        events = self.chain.substrate.get_events(self.chain.get_block_hash(2))
        of_extrinsics = [event for event in events if event["phase"] == "ApplyExtrinsic"]
        self.assertEqual([event["event"]["event_id"] for event in of_extrinsics], ["ExtrinsicSuccess"])
        self.assertGreater(self.chain.get_timestamp(3), self.chain.get_timestamp(2))

    def test_hyperparameters_are_those_of_the_file(self):
        read = self.chain.get_subnet_hyperparameters(NETUID)
        self.assertEqual((read.tempo, read.weights_rate_limit, read.min_allowed_weights), (360, 0, 1))
        self.assertFalse(read.commit_reveal_weights_enabled)
        self.assertFalse(self.chain.commit_reveal_enabled(NETUID))
        self.assertEqual((self.chain.tempo(NETUID), self.chain.weights_rate_limit(NETUID)), (360, 0))
        self.assertEqual(self.chain.get_subnets(), [NETUID])
        self.assertTrue(self.chain.subnet_exists(NETUID))
        self.assertFalse(self.chain.subnet_exists(NETUID + 1))

    def test_who_is_registered_is_and_a_stranger_is_not(self):
        for uid, hotkey in enumerate(self.hotkeys[:3]):
            self.assertTrue(self.chain.is_hotkey_registered(hotkey, NETUID))
            self.assertTrue(self.chain.is_hotkey_registered(hotkey))
            self.assertEqual(self.chain.get_uid_for_hotkey_on_subnet(hotkey, NETUID), uid)
        stranger = self.hotkeys[3]
        self.assertFalse(self.chain.is_hotkey_registered(stranger, NETUID))
        self.assertFalse(self.chain.is_hotkey_registered(stranger))
        self.assertIsNone(self.chain.get_uid_for_hotkey_on_subnet(stranger, NETUID))

    def test_neurons_and_their_lite_form_agree(self):
        whole, lite = self.chain.neurons(NETUID), self.chain.neurons_lite(NETUID)
        self.assertEqual([neuron.hotkey for neuron in whole], self.hotkeys[:3])
        self.assertEqual([neuron.hotkey for neuron in lite], self.hotkeys[:3])
        self.assertEqual([neuron.validator_permit for neuron in lite], [True, False, False])
        self.assertEqual(whole[0].stake.tao, 20000.0)
        self.assertEqual(whole[1].coldkey, self.miner.coldkeypub.ss58_address)
        self.assertEqual(f"{whole[1].axon_info.ip}:{whole[1].axon_info.port}", MINER_AXON)
        self.assertFalse(whole[0].axon_info.is_serving)

    def test_the_metagraph_is_whole_lite_and_full(self):
        for lite in (True, False):
            graph = self.chain.metagraph(NETUID, lite=lite)
            self.assertEqual((graph.netuid, int(graph.n)), (NETUID, 3))
            self.assertEqual(graph.hotkeys, self.hotkeys[:3])
            self.assertEqual(graph.validator_permit.tolist(), [True, False, False])
            self.assertEqual(graph.axons[1].ip_str(), f"/ipv4/{MINER_AXON}")
            self.assertGreaterEqual(int(graph.block), 3)
        info = self.chain.get_metagraph_info(NETUID)
        self.assertEqual((info.num_uids, info.tempo, info.hotkeys), (3, 360, self.hotkeys[:3]))

    def test_the_subnet_is_the_only_one_of_its_chain(self):
        (subnet,) = self.chain.all_subnets()
        self.assertEqual((subnet.netuid, subnet.subnet_name, subnet.tempo), (NETUID, "simulated", 360))
        self.assertEqual(self.chain.subnet(NETUID).netuid, NETUID)
        self.assertEqual(self.chain.get_balance(self.miner.coldkeypub.ss58_address).tao, 0)

    def test_the_asynchronous_client_asks_several_things_at_once(self):
        async def read():
            async with bt.AsyncSubtensor(network=self.url) as chain:
                asked = [chain.get_uid_for_hotkey_on_subnet(hotkey, NETUID) for hotkey in self.hotkeys]
                return await asyncio.gather(chain.metagraph(NETUID), *asked)

        graph, *uids = asyncio.run(read())
        self.assertEqual((graph.hotkeys, uids), (self.hotkeys[:3], [0, 1, 2, None]))

    def test_what_no_subnet_has_is_an_error_by_name_and_the_connection_goes_on(self):
        with self.assertRaisesRegex(Exception, "Method not found"):
            self.chain.substrate.rpc_request("chain_noSuchMethod", [])
        self.assertGreater(self.chain.block, 0)


class Writes(Sdk):
    def test_an_axon_is_served_with_the_hotkey_of_a_wallet_file(self):
        wallet = bt.wallet(path=self.subnet.wallets, name="other", hotkey="default")
        axon = bt.axon(wallet=wallet, ip="127.0.0.1", port=8099, external_ip="198.51.100.9", external_port=9090)
        self.assertTrue(self.chain.serve_axon(NETUID, axon, wait_for_inclusion=True, wait_for_finalization=True))
        served = self.chain.metagraph(NETUID).axons[2]
        self.assertEqual((served.ip, served.port, served.hotkey), ("198.51.100.9", 9090, self.hotkeys[2]))
        self.assertEqual(served.version, VERSION)

    def test_weights_are_set_and_read_back(self):
        done, message = self.set_weights(self.validator, [1, 2], [0.5, 1.0], wait_for_inclusion=True)
        self.assertTrue(done, message)
        self.assertEqual(self.chain.weights(NETUID), [(0, [(1, 32768), (2, 65535)])])
        row = self.chain.metagraph(NETUID, lite=False).W[0]
        self.assertAlmostEqual(float(row[1]) * 2, float(row[2]), places=4)
        self.assertLessEqual(self.chain.blocks_since_last_update(NETUID, 0), self.chain.block)

    def test_weights_without_a_permit_are_refused_by_name(self):
        receipt = self.set_openly(self.miner)
        self.assertFalse(receipt.is_success)
        self.assertEqual(receipt.error_message["name"], "NeuronNoValidatorPermit")

    def test_a_hotkey_that_is_not_registered_sets_nothing(self):
        done, message = self.set_weights(self.stranger, [1], [1.0])
        self.assertFalse(done)
        self.assertIn("not registered", message)


class Commits(Sdk):
    """Commit-reveal. The SDK always encrypts to drand's quicknet; our chain has a beacon of its own, so it holds such a
    commitment, never gets the pulse that opens it, and drops it without a word, as a real chain drops what it cannot
    open."""

    hyperparameters = {"commit_reveal": True, "tempo": 12}

    def test_a_timelocked_commitment_is_taken_held_and_dropped_unopened(self):
        self.assertTrue(self.chain.get_subnet_hyperparameters(NETUID).commit_reveal_weights_enabled)
        before = time.time()
        done, message = self.set_weights(
            self.validator, [1, 2], [0.5, 1.0], wait_for_inclusion=True, block_time=1.0, max_retries=1
        )
        self.assertTrue(done, message)
        self.assertIn("reveal_round", message)
        ((hotkey, block, commit, reveal_round),) = self.chain.get_timelocked_weight_commits(NETUID)
        self.assertEqual((hotkey, f"reveal_round:{reveal_round}"), (self.hotkeys[0], message))
        self.assertGreater(len(commit), 400)
        self.assertGreater(QUICKNET_GENESIS + QUICKNET_PERIOD_S * reveal_round, before)
        self.assertLessEqual(block, self.chain.block)
        self.assertEqual(self.chain.metagraph(NETUID).last_update[0], block)

        self.subnet.wait_for("the end of it", lambda: not self.chain.get_timelocked_weight_commits(NETUID))
        self.assertEqual(self.chain.weights(NETUID), [])

    def test_open_weights_are_refused_by_name(self):
        receipt = self.set_openly(self.validator)
        self.assertEqual(receipt.error_message["name"], "CommitRevealEnabled")


# their tests run as part of the classes above
del Sdk


if __name__ == "__main__":
    unittest.main(verbosity=2)
