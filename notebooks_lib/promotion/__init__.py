"""From runs to a champion that serves: compare, decide, release, take back. A notebook imports `promotion.gate`."""
