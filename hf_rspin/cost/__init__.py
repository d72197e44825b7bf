"""What runs cost: operations, energy, memory and time, and Table 5 of R-Spin with them."""

from hf_rspin.cost.energy import EnergyMeter
from hf_rspin.cost.flops import flop_counter, forward_flops
from hf_rspin.cost.memory import peak_gpu_memory, peak_memory
from hf_rspin.cost.meter import CostMeter
from hf_rspin.cost.record import COST_FILE, RunCost
from hf_rspin.cost.table import cost_cells, cost_table

__all__ = [
    "COST_FILE",
    "CostMeter",
    "EnergyMeter",
    "RunCost",
    "cost_cells",
    "cost_table",
    "flop_counter",
    "forward_flops",
    "peak_gpu_memory",
    "peak_memory",
]
