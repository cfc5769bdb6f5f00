//! A place in the simulated subnet is bought.

use byteleap::{
    spoke::{
        chain::calls::Arguments,
        subtensor_sim::{Genesis, Hyperparameters},
    },
    units::Hotkey,
};
use scale_value::Value;

use crate::simulation::{NETUID, Simulation, key};

const RICH: u8 = 100;

fn rich() -> Simulation {
    let genesis = Genesis::new(NETUID, Vec::new(), Hyperparameters::default()).unwrap();
    Simulation::of(genesis.with_balance(key(RICH).hotkey().clone(), 0.2).unwrap())
}

fn registered(hotkey: &Hotkey) -> Arguments {
    let account = hotkey.account().unwrap();
    vec![("netuid", Value::u128(NETUID.0.into())), ("hotkey", Value::from_bytes(account))]
}

fn burn(simulation: &Simulation) -> u64 {
    simulation.storage(("SubtensorModule", "Burn"), &[&NETUID.0.to_le_bytes()], None)
}

fn balance(simulation: &Simulation) -> u64 {
    #[derive(scale_decode::DecodeAsType)]
    struct Data {
        free: u64,
    }
    #[derive(scale_decode::DecodeAsType)]
    struct Account {
        data: Data,
    }
    let account: Account = simulation.storage(("System", "Account"), &[&key(RICH).account()], None);
    account.data.free
}

#[test]
fn a_hotkey_is_registered_for_its_price_and_the_next_pays_more() {
    let mut simulation = rich();
    assert_eq!((burn(&simulation), balance(&simulation)), (100_000_000, 200_000_000));
    simulation.put(&key(RICH), "burned_register", registered(key(1).hotkey())).unwrap();
    simulation.blocks(1);
    assert_eq!(simulation.results(), [(6, "success".into())]);
    assert_eq!((burn(&simulation), balance(&simulation)), (126_000_000, 100_000_000));
    let uid: u16 = simulation.storage(("SubtensorModule", "Uids"), &[&NETUID.0.to_le_bytes(), &key(1).account()], None);
    assert_eq!(uid, 0);
    simulation.put(&key(RICH), "burned_register", registered(key(1).hotkey())).unwrap();
    simulation.put(&key(RICH), "burned_register", registered(key(2).hotkey())).unwrap();
    simulation.blocks(1);
    let refused = [(7, "HotKeyAlreadyRegisteredInSubNet".into()), (7, "NotEnoughBalanceToStake".into())];
    assert_eq!(simulation.results(), refused);
}

#[test]
fn who_has_nothing_is_refused_by_the_pool() {
    let simulation = rich();
    let refused = simulation.put(&key(9), "burned_register", registered(key(1).hotkey())).unwrap_err();
    assert_eq!((refused.code, refused.data_text().as_str()), (1010, "Custom error: 2"));
}

#[test]
fn the_price_falls_with_time() {
    let mut simulation = rich();
    simulation.put(&key(RICH), "burned_register", registered(key(1).hotkey())).unwrap();
    simulation.blocks(361);
    assert_eq!(burn(&simulation), 63_000_000);
}
