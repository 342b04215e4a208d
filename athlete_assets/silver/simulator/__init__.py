"""A seeded cohort of runners in the silver contract, with a fitness-fatigue model behind every number.

What drives what: an athlete's traits set a plan (cycles of base, build, taper, race, recovery); the plan as carried
out (illness, injuries that follow load spikes, holidays, years off) drives fitness and fatigue; these drive race times,
easy pace and heart rate; then the recording devices and the upstream pipeline add their dirt (`dirt.DIRTY_KINDS`).

Sources of the model:
- fitness and fatigue, time constants 42 and 7 days: Banister 1975, Busso 2003; as exponentially weighted daily load.
- speed, oxygen cost and the share of VO2max that can be held: Daniels & Gilbert 1979 ("VDOT").
- heart-rate reserve tracks the share of VO2max: Swain & Leutholtz 1997; maximum 208 - 0.7 age: Tanaka 2001.
- cost of slopes: Minetti 2002. Heat in races: Ely 2007. Marathon fade at low volume: Vickers & Vertosick 2016.
- injuries 2.5-18 per 1000 h of running: Videbaek 2015; more after load spikes: Gabbett 2016 (weekly load) and
  Schuster Brandt Frandsen 2025 (a run longer than any of the last 30 days).

Same arguments, same bytes. Each random number is a function of (seed, athlete, purpose, day, position) alone:
SplitMix64 (Steele, Lea & Flood 2014) in integer arithmetic, so no number depends on the batch, on the draws before it
or on a library's generator. Sums within an activity are sums of integers, and every output is rounded well above the
last bits, in which exp and log differ between processors. A later last day with the same first day only adds rows.
"""

from athlete_assets.silver.simulator.cohort import SilverBatch, simulate

__all__ = ["SilverBatch", "simulate"]
