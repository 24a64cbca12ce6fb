// What lies below the layers: tiles of an address in the configuration, or outlines of countries for an overview.

const OUTLINES_UP_TO = 8; // zoom; those of 1:110 million are off by kilometres, which closer views would show
const STYLE = { color: "#7b8794", weight: 1, fillOpacity: 0.08, interactive: false };

export async function addBase(map, { base_map: tiles }) {
  map.createPane("base").style.zIndex = 100;
  if (tiles) {
    L.tileLayer(tiles, { pane: "base", maxZoom: 30, maxNativeZoom: 19, referrerPolicy: "no-referrer" }).addTo(map);
    return;
  }
  const outlines = L.geoJSON([], { pane: "base", style: STYLE, renderer: L.canvas({ pane: "base" }) });
  const show = async () => {
    const visible = map.getZoom() <= OUTLINES_UP_TO;
    if (visible && !outlines.getLayers().length) {
      const response = await fetch(new URL("../countries.geojson", import.meta.url));
      outlines.addData(await response.json());
    }
    outlines[visible ? "addTo" : "removeFrom"](map);
  };
  map.on("zoomend", show);
  await show();
}
