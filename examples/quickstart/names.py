"""What the table of errors shows, and how metatrain calls it."""

PARTS = ("training", "validation", "test")
# keys of metatrain's RMSE accumulator, and how the table names them
ROWS = {
    "energy RMSE (per atom)": "energy, meV/atom",
    "energy_positions_gradients RMSE": "forces (gradient), meV/Å",
    "non_conservative_force RMSE (per atom)": "forces (direct), meV/Å",
}
