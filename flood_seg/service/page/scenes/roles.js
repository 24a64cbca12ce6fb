// What a file is to a job, guessed from its name, so that a coordinator need only correct it.

const RASTERS = ["tif", "tiff", "jp2", "img", "nc"];
const VECTORS = ["gpkg", "geojson", "json", "fgb", "shp", "zip", "kml", "gml", "parquet", "pbf"];

// The fields of POST /jobs, in the order of the form.
export const ROLES = ["scene", "before", "truth", "permanent", "cloud", "districts", "roads", "buildings", "population", "places", "depots"];

const NAMES = {
  before: /before|pre[_-]|earlier|dry/,
  truth: /truth|label|mask|valid|\bgt\b|reference/,
  permanent: /permanent|river|water_?bod|lakes/,
  cloud: /cloud/,
  districts: /district|admin|boundar|municip|zones?/,
  roads: /road|street|highway|\.pbf$/,
  buildings: /building|house|footprint/,
  population: /population|people|worldpop|\bpop/,
  places: /place|village|town|settlement/,
  depots: /depot|base|station/,
};

const suffix = (name) => name.toLowerCase().split(".").at(-1);

export const isVector = (name) => VECTORS.includes(suffix(name));

export const isScene = (name) => RASTERS.includes(suffix(name)) || isVector(name);

// `taken`: roles of the files that are there.
export function guessRole(name, taken) {
  const lower = name.toLowerCase();
  const free = ROLES.filter((role) => !taken.includes(role));
  const named = free.find((role) => NAMES[role]?.test(lower));
  if (named) return named;
  if (!isVector(name) && free.includes("scene")) return "scene";
  return free.find((role) => role !== "scene") ?? "scene";
}
